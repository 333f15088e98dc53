"""Debian packages. The package lists are renewed only when something is missing, so a second run changes nothing."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final

from pyinfra import host
from pyinfra.api import StringCommand, operation

from infra.hosts.facts.shell import Printed
from infra.hosts.operations.commands import Commands

#: Waits for whoever holds apt's lock, in seconds, instead of failing at once.
LOCK_SECONDS: Final = 300
APT: Final = (
    f"DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -y -q -o DPkg::Lock::Timeout={LOCK_SECONDS} "
    "-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"
)


@operation()
def present(packages: Sequence[str]) -> Commands:
    """The packages are installed; `name=version` also in that version (an older or newer one is replaced), where a `*`
    at its end stands for any rest, as for apt."""
    installed = _installed(packages)
    missing = [package for package in packages if not _is_met(package, installed)]
    if not missing:
        host.noop("all packages are installed")
        return
    names = " ".join(shlex.quote(package) for package in missing)
    # Lists that are a day old still install in most cases; a run that finds the package gone renews them itself.
    yield StringCommand(f"{APT} update || true")
    yield StringCommand(
        f"{APT} install --no-install-recommends --allow-downgrades --allow-change-held-packages {names}"
    )


@operation()
def absent(packages: Sequence[str]) -> Commands:
    """None of the packages is installed; their configuration goes too."""
    installed = _installed(packages)
    unwanted = [package for package in packages if package in installed]
    if not unwanted:
        host.noop("no such package is installed")
        return
    yield StringCommand(f"{APT} purge {' '.join(shlex.quote(package) for package in unwanted)}")


def _installed(packages: Sequence[str]) -> dict[str, str]:
    """Version of every package of the list that is installed."""
    names = " ".join(shlex.quote(package.partition("=")[0]) for package in packages)
    lines = host.get_fact(
        Printed, f"dpkg-query -W -f '${{db:Status-Abbrev}}|${{Package}}|${{Version}}\\n' {names} 2>/dev/null"
    )
    fields = [line.split("|") for line in lines if line.count("|") == 2]
    return {name: version for status, name, version in fields if status[1:2] == "i"}


def _is_met(package: str, installed: dict[str, str]) -> bool:
    name, _, version = package.partition("=")
    if name not in installed or not version:
        return name in installed
    seen = installed[name]
    return seen.startswith(version[:-1]) if version.endswith("*") else seen == version

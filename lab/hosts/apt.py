"""What the machine's own apt configuration says, read at run time: the lab names no mirror of its own."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TIMEOUT_SECONDS: Final = 60
_PROXY_KEYS: Final = ("Acquire::http::Proxy", "Acquire::https::Proxy")


@dataclass(frozen=True)
class AptTarget:
    """One package index that the machine is configured for."""

    uri: str
    suite: str
    component: str


@dataclass(frozen=True)
class AptConfiguration:
    """The distribution's own indexes of this machine, for lab hosts of the same release."""

    codename: str
    targets: tuple[AptTarget, ...]
    proxies: tuple[tuple[str, str], ...] = ()

    @property
    def mirror(self) -> str:
        """Where debootstrap finds the release itself."""
        return next(target.uri for target in self.targets if target.suite == self.codename)

    @property
    def sources_list(self) -> str:
        """Content of a host's /etc/apt/sources.list."""
        components: dict[tuple[str, str], list[str]] = {}
        for target in self.targets:
            components.setdefault((target.uri, target.suite), []).append(target.component)
        return "".join(f"deb {uri} {suite} {' '.join(names)}\n" for (uri, suite), names in components.items())

    @property
    def proxy_settings(self) -> str:
        """Content of a host's /etc/apt/apt.conf.d entry; empty where the machine uses no proxy."""
        return "".join(f'{key} "{value}";\n' for key, value in self.proxies)


def parse(codename: str, index_targets: str, proxies: str = "") -> AptConfiguration:
    """Read the output of `apt-get indextargets` and `apt-config dump`; foreign archives are left out.

    Raises:
        RuntimeError: no archive of the release is configured.
    """
    targets = []
    for line in index_targets.splitlines():
        uri, suite, component = line.split()
        if suite == codename or suite.startswith(f"{codename}-"):
            target = AptTarget(uri.rstrip("/"), suite, component)
            if target not in targets:
                targets.append(target)
    if not any(target.suite == codename for target in targets):
        raise RuntimeError(
            f"apt on this machine knows no archive of {codename}: lab hosts are made from it. "
            "Add it to /etc/apt/sources.list"
        )
    pairs = (line.rstrip(";").split(" ", 1) for line in proxies.splitlines() if line.startswith(_PROXY_KEYS))
    return AptConfiguration(codename, tuple(targets), tuple((key, value.strip('"')) for key, value in pairs))


def read() -> AptConfiguration:
    """The configuration of this machine."""
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    targets = _output(
        "apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"
    )
    return parse(release["VERSION_CODENAME"].strip('"'), targets, _output("apt-config", "dump", *_PROXY_KEYS))


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_TIMEOUT_SECONDS)
    return done.stdout

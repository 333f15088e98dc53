"""Files with their whole content: one look, one atomic replacement, content never in an argument list."""

from __future__ import annotations

import hashlib
import shlex
from typing import Final

from pyinfra import host
from pyinfra.api import StringCommand, operation

from infra.hosts.facts.shell import Holds, Printed
from infra.hosts.operations.commands import Commands
from infra.hosts.paths import STAMPS

#: The name of a file that is being written has this at its end. One name, so that what a cut-off run left is written
#: over by the next; runs on one machine exclude each other.
UNFINISHED: Final = ".headframe-unfinished"


@operation()
def content(
    path: str,
    text: str,
    mode: str = "644",
    owner: str = "root",
    group: str = "root",
    stamp: str | None = None,
    *,
    any_group: bool = False,
) -> Commands:
    """The file holds exactly this text, ends with a newline, and has this mode and owner.

    Args:
        stamp: unit whose restart stamp is taken away before the file changes, so that a run that dies in between
            still restarts the unit next time.
        any_group: it may have come to another group since.
    """
    wanted = text if text.endswith("\n") else f"{text}\n"
    quoted = shlex.quote(path)
    digest = hashlib.sha256(wanted.encode()).hexdigest()
    shown, attributes = ("%a %U", owner) if any_group else ("%a %U %G", f"{owner} {group}")
    seen = host.get_fact(
        Printed, f"[ -f {quoted} ] && [ ! -L {quoted} ] && sha256sum < {quoted} && stat -c '{shown}' {quoted}"
    )
    if len(seen) == 2 and seen[0].split()[0] == digest and seen[1] == f"{mode.lstrip('0')} {attributes}":
        host.noop(f"{path} is as wanted")
        return
    if stamp is not None:
        yield StringCommand(f"rm -f {stamp_path(stamp)}")
    yield StringCommand(
        f"mkdir -p {shlex.quote(path.rpartition('/')[0] or '/')} && umask 077 && "
        f't={shlex.quote(path + UNFINISHED)} && rm -f "$t" && set -C && cat > "$t" && '
        f'chown {owner}:{group} "$t" && chmod {mode} "$t" && mv -fT "$t" {quoted} || '
        f'{{ rm -f "$t"; exit 1; }}',
        _stdin=wanted,
    )


@operation()
def absent(path: str, stamp: str | None = None) -> Commands:
    """There is no such file or link."""
    quoted = shlex.quote(path)
    if not host.get_fact(Holds, f"[ -e {quoted} ] || [ -L {quoted} ]"):
        host.noop(f"{path} is absent")
        return
    if stamp is not None:
        yield StringCommand(f"rm -f {stamp_path(stamp)}")
    yield StringCommand(f"rm -f {quoted}")


def stamp_path(unit: str) -> str:
    """Where the digest of the settings lies with which the unit was last started."""
    return f"{STAMPS}/{unit}"

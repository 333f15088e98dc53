"""systemd units: running, masked, and restarted exactly when what they read has changed."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence

from pyinfra import host
from pyinfra.api import StringCommand, operation
from pyinfra.api.operation import OperationMeta

from infra.hosts.facts.shell import Holds, Printed
from infra.hosts.operations.commands import Commands
from infra.hosts.operations.files import stamp_path
from infra.hosts.paths import STAMPS


def changes(operation_meta: OperationMeta) -> bool:
    """Whether the operation changed something, or before the run: would.

    pyinfra's own `_if` is not looked at while a plan is made, so a conditional operation would count as a change.
    """
    return operation_meta.did_change() if operation_meta.is_complete() else operation_meta.will_change


def digest_of(*parts: str) -> str:
    """One digest of everything a unit reads."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@operation()
def state(unit: str, running: bool = True, enabled: bool = True) -> Commands:
    """The unit runs (or not) and starts at boot (or not)."""
    quoted = shlex.quote(unit)
    seen = host.get_fact(
        Printed, f"systemctl is-active {quoted}; systemctl is-enabled {quoted} 2>/dev/null || echo none"
    )
    active, at_boot = (*seen, "", "")[:2]
    if (at_boot in {"enabled", "static", "enabled-runtime", "indirect", "alias", "generated"}) != enabled:
        yield StringCommand(f"systemctl {'enable' if enabled else 'disable'} {quoted}")
    if (active in {"active", "activating", "reloading"}) != running:
        yield StringCommand(f"systemctl {'start' if running else 'stop'} {quoted}")


@operation()
def runs_with(unit: str, digest: str, after: Sequence[OperationMeta] = ()) -> Commands:
    """The unit is enabled and was last started with the settings of this digest.

    The digest is remembered on the machine once the restart was ordered, so a run that dies before it is repaired by
    the next; `after` names operations whose change demands a restart even where the digest is the same (a file that
    somebody edited and that was put right).
    """
    path = stamp_path(unit)
    seen = host.get_fact(
        Printed,
        f"cat {path} 2>/dev/null || echo none; systemctl is-active {unit}; systemctl is-enabled {unit} 2>/dev/null",
    )
    settled = seen[:1] == [digest] and seen[1:2] in (["active"], ["activating"]) and seen[2:3] == ["enabled"]
    if settled and not any(changes(one) for one in after):
        host.noop(f"{unit} runs with these settings")
        return
    yield StringCommand("systemctl daemon-reload")
    yield StringCommand(f"systemctl enable {unit}")
    # --no-block: a unit of type notify would hold the command until it is ready; readiness is awaited elsewhere.
    yield StringCommand(f"systemctl restart --no-block {unit}")
    yield StringCommand(f"mkdir -p {STAMPS} && echo {digest} > {path}")


@operation()
def masked(unit: str) -> Commands:
    """Nobody can start the unit. A unit that is not installed is masked too: its package may come later."""
    if host.get_fact(Holds, f'[ "$(systemctl is-enabled {unit} 2>/dev/null)" = masked ]'):
        host.noop(f"{unit} is masked")
        return
    yield StringCommand(f"systemctl stop {unit} 2>/dev/null || true")
    yield StringCommand(f"systemctl mask {unit}")

"""`headframe recover`: after an engine was killed, free its lock, settle what it left half done, say what was done."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from infra.cli import locks
from infra.cli.engine import Engine
from infra.cli.machines import kubeconfigs_of
from infra.cli.pending import adopt_arguments, pending_operations, without_pending
from infra.cli.releases import free_releases

PROJECT = "headframe"


class StillRunningError(RuntimeError):
    """An engine holds the stack, or may hold it. Nothing was changed."""


@dataclass(frozen=True)
class Recovery:
    """What was found and done, one sentence each; empty when there was nothing to do."""

    done: tuple[str, ...]


def recover(
    engine: Engine, *, project: str = PROJECT, is_engine: Callable[[int], bool] = locks.is_running_engine
) -> Recovery:
    """Make the stack ready for the next `pulumi up`.

    Raises:
        StillRunningError: a lock's engine runs, or is on another machine.
        infra.cli.engine.EngineError: `pulumi` refused.
    """
    done = [*_free_lock(engine, project, is_engine), *_settle(engine), *free_releases(_kubeconfigs(engine))]
    return Recovery(tuple(done))


def _free_lock(engine: Engine, project: str, is_engine: Callable[[int], bool]) -> list[str]:
    folder = locks.lock_folder(engine.backend_url(), project, engine.stack_name())
    if folder is None:
        return []
    report = locks.judge(locks.read_locks(folder), locks.own_hostname(), is_engine)
    if report.held:
        holders = "; ".join(str(lock) for lock in report.held)
        raise StillRunningError(
            f"the stack is in use: {holders}. Wait for it, or end it and run this again. A lock of another machine is "
            "freed there; that one, and one that cannot be read, also with `pulumi cancel` once you know that no "
            "engine runs"
        )
    if not report.abandoned:
        return []
    engine.quietly("cancel", "--yes")
    return [f"freed the lock of an engine that is gone: {lock}" for lock in report.abandoned]


def _settle(engine: Engine) -> list[str]:
    state = json.loads(engine.quietly("stack", "export"))
    pending = pending_operations(state)
    if not pending:
        return []
    adopted = [item for item in pending if item.object_id is not None]
    if adopted:
        arguments = ["--yes", "--skip-preview", "--clear-pending-creates", *adopt_arguments(adopted)]
        engine.quietly("refresh", *arguments)
        state = json.loads(engine.quietly("stack", "export"))
    if pending_operations(state):
        engine.quietly("stack", "import", stdin=json.dumps(without_pending(state)))
    names = {item.urn for item in adopted}
    return [
        f"looked for the half-made object: {item}" if item.urn in names else f"will be done anew: {item}"
        for item in pending
    ]


def _kubeconfigs(engine: Engine) -> dict[str, str]:
    """Of every machine in the state; the outputs of the stack are not there before its first whole update."""
    return kubeconfigs_of(engine.json("stack", "export", "--show-secrets"))

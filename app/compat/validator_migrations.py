"""`run_validator_migrations` under its public name."""

from __future__ import annotations

from app.compat.runtime import current
from app.gepetto.execution.validator_migrations import run_pending


async def run_validator_migrations() -> None:
    """Run the one-time calls to validators that this database has not behind it.

    Raises:
        UnavailableError: a validator did not answer; as in the public scheduler, that ends the file.
    """
    runtime = current()
    await run_pending(runtime.engine, runtime.executor.launcher.validators)

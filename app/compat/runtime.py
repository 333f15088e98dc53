"""What the public names act on in one process: set once by the program that runs a complete public file.

Until `use()` was called every name can be imported, and using one says what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from app.gepetto.execution.executor import Executor
from app.gepetto.ports import ClustersPort
from app.protocol.signing import Signer
from app.protocol.validators import ValidatorEntry


@dataclass(frozen=True)
class Runtime:
    """Everything behind the public names."""

    engine: AsyncEngine
    executor: Executor
    clusters: ClustersPort
    signer: Signer
    validators: tuple[ValidatorEntry, ...]
    redis_url: str
    clock: Callable[[], float]
    options: Mapping[str, object]


class _Holder:
    runtime: Runtime | None = None


def use(runtime: Runtime) -> None:
    """Set what the public names act on."""
    _Holder.runtime = runtime


def current() -> Runtime:
    """What was set.

    Raises:
        RuntimeError: nothing was.
    """
    if _Holder.runtime is None:
        raise RuntimeError("no runtime is set: run the file through `python -m app.gepetto`")
    return _Holder.runtime

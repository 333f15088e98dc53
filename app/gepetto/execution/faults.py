"""Errors that should not be: one server's never ends the others' work, and none is kept quiet (spec: gepetto 24.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import structlog

from app.gepetto.execution.fence import DeposedError
from app.storage.engine import is_outage

log = structlog.get_logger(__name__)

#: Told which work had which error.
Fault = Callable[[str, BaseException], None]


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group of groups; an error that is no group is itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def deposed_in(error: BaseException) -> bool:
    """Whether somebody else leads by now: that ends this process's work, and is no fault."""
    return any(isinstance(leaf, DeposedError) for leaf in leaves(error))


def is_passing(error: BaseException) -> bool:
    """Whether every error in it is an outage of the database or the network: the same work may succeed later."""
    return all(is_outage(leaf) for leaf in leaves(error))


def log_fault(work: str, error: BaseException) -> None:
    """Write an error down with its traceback."""
    log.error("a fault of our own", work=work, error=type(error).__name__, exc_info=error)

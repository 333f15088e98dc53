"""What one validator says, part by part, each with the time it was heard. A part that cannot be read stays as it was.

This is the only way by which a validator's word reaches decisions: absence counts only in a part that was read whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from app.protocol.chutes import ChuteRecord, ImageRecord, RollingUpdate, Utilization
from app.protocol.instances import ActiveInstance, InstanceRecord
from app.protocol.servers import NodeRecord, RemoteServer
from app.validators.client import ValidatorClient
from app.validators.errors import ValidatorError
from app.validators.listing import Listing

PARTS: Final = (
    "chutes", "images", "nodes", "instances", "active_instances", "servers", "utilization", "rolling_updates"
)  # fmt: skip

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class RemoteView:
    """Parts of one validator's state; None is never heard of. `heard_at` gives Unix seconds per part."""

    chutes: Listing[ChuteRecord] | None = None
    images: Listing[ImageRecord] | None = None
    nodes: Listing[NodeRecord] | None = None
    instances: Listing[InstanceRecord] | None = None
    active_instances: tuple[ActiveInstance, ...] | None = None
    servers: Mapping[str, RemoteServer] | None = None
    utilization: Mapping[str, Utilization] | None = None
    rolling_updates: Mapping[str, RollingUpdate] | None = None
    heard_at: Mapping[str, float] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)

    def age_seconds(self, part: str, now: float) -> float | None:
        """How old a part is; None where it was never heard."""
        heard = self.heard_at.get(part)
        return None if heard is None else now - heard


async def refresh(
    client: ValidatorClient, previous: RemoteView, *, clock: Callable[[], float], parts: tuple[str, ...] = PARTS
) -> RemoteView:
    """Ask for all parts at once; a part that fails keeps its last value and names its failure."""
    outcomes = await asyncio.gather(*(_attempt(client, part) for part in parts))
    now = clock()
    changes: dict[str, object] = {}
    heard = dict(previous.heard_at)
    failures: dict[str, str] = {name: why for name, why in previous.failures.items() if name not in parts}
    for part, outcome in zip(parts, outcomes, strict=True):
        if isinstance(outcome, ValidatorError):
            failures[part] = str(outcome)
            log.warning("a validator's list was not read, the last one stays", part=part, error=str(outcome))
        else:
            changes[part] = outcome
            heard[part] = now
    return replace(previous, **changes, heard_at=heard, failures=failures)  # type: ignore[arg-type]


async def _attempt(client: ValidatorClient, part: str) -> object:
    fetch: Callable[[], Awaitable[object]] = getattr(client, part)
    try:
        found = await fetch()
    except ValidatorError as error:
        return error
    return tuple(found) if isinstance(found, list) else found

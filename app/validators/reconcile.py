"""What a gap in the feed swallowed, found by comparing rows with the validator's lists. Pure.

The answer is events, as if they had come over the feed: consumers need no second way. A list that was not read whole
(None) proves nothing, and nothing follows from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.protocol.chutes import ChuteRecord
from app.protocol.events import Event, Reason, Rejected, understand
from app.protocol.instances import InstanceRecord
from app.validators.listing import Listing


@dataclass(frozen=True)
class KnownDeployment:
    """The columns of a deployment that the validator's lists can contradict."""

    deployment_id: str
    chute_id: str
    validator: str
    version: str
    instance_id: str | None
    config_id: str | None
    verified_at: datetime | None
    active: bool
    job_id: str | None = None


@dataclass(frozen=True)
class KnownChute:
    """The columns of a chute that the validator's list can contradict."""

    chute_id: str
    validator: str
    version: str


DESTRUCTIVE: Final = frozenset({Reason.CHUTE_DELETED, Reason.INSTANCE_DELETED})


class Confirmation:
    """Holds destructive events back until two readings in a row agree, and repeats no event within its pause."""

    def __init__(self, pause_seconds: float) -> None:
        self._pause_seconds = pause_seconds
        self._suspected: frozenset[str] = frozenset()
        self._told: dict[str, float] = {}
        self.is_waiting = False

    def passes(self, events: Sequence[Event], now: float) -> list[Event]:
        """The events to act on now; `is_waiting` says whether a second reading would settle others."""
        suspects = frozenset(_key(event) for event in events if event.reason in DESTRUCTIVE)
        confirmed = suspects & self._suspected
        self.is_waiting = bool(suspects - confirmed)
        self._suspected = suspects
        self._told = {key: at for key, at in self._told.items() if now - at < self._pause_seconds}
        found = []
        for event in events:
            key = _key(event)
            if key in self._told or (event.reason in DESTRUCTIVE and key not in confirmed):
                continue
            self._told[key] = now
            found.append(event)
        return found


def _key(event: Event) -> str:
    named = (event.raw.get("instance_id"), event.raw.get("chute_id"), event.raw.get("version"))
    return f"{event.reason.value}:{named}"


def missed_events(
    *,
    validator: str,
    hotkey: str,
    deployments: Sequence[KnownDeployment],
    chutes: Sequence[KnownChute],
    remote_instances: Listing[InstanceRecord] | None,
    remote_chutes: Listing[ChuteRecord] | None,
) -> list[Event]:
    """Events whose effect is missing here, in the order in which they would have come.

    Those that destroy (see `DESTRUCTIVE`) are to be believed only when a second reading says the same: `Confirmation`.
    """
    found: list[Event | None] = []
    if remote_chutes is not None:
        found += _chute_events(validator, [c for c in chutes if c.validator == validator], remote_chutes)
    if remote_instances is not None:
        for deployment in deployments:
            if deployment.validator == validator:
                found += _instance_events(validator, hotkey, deployment, remote_instances)
    return [event for event in found if event is not None]


def _chute_events(validator: str, local: Sequence[KnownChute], remote: Listing[ChuteRecord]) -> Iterable[Event | None]:
    known = {chute.chute_id: chute.version for chute in local}
    for chute in remote.items.values():
        if chute.is_cpu_only or chute.disabled:
            continue
        if chute.chute_id not in known:
            yield _event(
                Reason.CHUTE_CREATED,
                validator,
                chute_id=chute.chute_id,
                version=chute.version,
                job_only=not chute.has_cords,
            )
        elif known[chute.chute_id] != chute.version:
            yield _event(
                Reason.CHUTE_UPDATED,
                validator,
                chute_id=chute.chute_id,
                version=chute.version,
                job_only=not chute.has_cords,
            )
    for chute_id, version in known.items():
        if not remote.knows(chute_id):
            yield _event(Reason.CHUTE_DELETED, validator, chute_id=chute_id, version=version)


def _instance_events(
    validator: str, hotkey: str, local: KnownDeployment, remote: Listing[InstanceRecord]
) -> Iterable[Event | None]:
    instance = _counterpart(local, remote)
    if instance is None:
        if local.instance_id is not None and not remote.knows(local.instance_id):
            yield _event(
                Reason.INSTANCE_DELETED, validator, chute_id=local.chute_id, instance_id=local.instance_id,
                config_id=local.config_id, miner_hotkey=hotkey,
            )  # fmt: skip
        return
    facts = {
        "chute_id": local.chute_id,
        "instance_id": instance.instance_id,
        "config_id": local.config_id,
        "miner_hotkey": hotkey,
    }
    if local.instance_id != instance.instance_id:
        yield _event(Reason.INSTANCE_CREATED, validator, **facts)
    if local.verified_at is None and instance.last_verified_at is not None:
        yield _event(Reason.INSTANCE_VERIFIED, validator, **facts)
    if not local.active and instance.active is True:
        yield _event(Reason.INSTANCE_ACTIVATED, validator, **facts)


def _counterpart(local: KnownDeployment, remote: Listing[InstanceRecord]) -> InstanceRecord | None:
    if local.instance_id is not None and local.instance_id in remote.items:
        return remote.items[local.instance_id]
    if local.config_id is None:
        return None
    return next((item for item in remote.items.values() if item.config_id == local.config_id), None)


def _event(reason: Reason, validator: str, **data: object) -> Event | None:
    event = understand(reason, {**data, "validator": validator, "reconciled": True})
    return None if isinstance(event, Rejected) else event

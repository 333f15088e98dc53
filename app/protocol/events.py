"""Messages of the validator's feed, and their envelope on the control channel (spec: protocol 10, 11.1).

One class per payload; `parse` is total: it returns what it understood or a reason why not, and never raises.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import orjson
from pydantic import Field, ValidationError, field_validator, model_validator

from app.protocol.wire import SafeId, WireModel, bare_gpu_id

#: Disk of a job whose event names none, in GB (spec: protocol 21, 2).
DEFAULT_DISK_GB: Final = 10


class Reason(StrEnum):
    """What a message is about."""

    GPU_VERIFIED = "gpu_verified"
    CHUTE_CREATED = "chute_created"
    CHUTE_UPDATED = "chute_updated"
    CHUTE_DELETED = "chute_deleted"
    BOUNTY_CHANGE = "bounty_change"
    IMAGE_CREATED = "image_created"
    IMAGE_DELETED = "image_deleted"
    IMAGE_UPDATED = "image_updated"
    INSTANCE_CREATED = "instance_created"
    INSTANCE_VERIFIED = "instance_verified"
    INSTANCE_ACTIVATED = "instance_activated"
    INSTANCE_DELETED = "instance_deleted"
    INSTANCE_DISABLED = "instance_disabled"
    ROLLING_UPDATE = "rolling_update"
    JOB_CREATED = "job_created"
    JOB_DELETED = "job_deleted"
    # Local: from the miner API, never from a validator.
    SERVER_DELETED = "server_deleted"
    GPU_DELETED = "gpu_deleted"


LOCAL_REASONS: Final = frozenset({Reason.SERVER_DELETED, Reason.GPU_DELETED})
#: Reasons that are meant for one miner; a message that names another hotkey is not ours.
OWN_REASONS: Final = frozenset(
    {
        Reason.GPU_VERIFIED,
        Reason.INSTANCE_CREATED,
        Reason.INSTANCE_VERIFIED,
        Reason.INSTANCE_ACTIVATED,
        Reason.INSTANCE_DELETED,
        Reason.INSTANCE_DISABLED,
        Reason.ROLLING_UPDATE,
    }
)


class EventData(WireModel):
    """What every payload may carry; `validator` is the hotkey of the connection it came over."""

    validator: str | None = None


class GpuVerified(EventData):
    gpu_id: SafeId
    miner_hotkey: str

    @field_validator("gpu_id")
    @classmethod
    def _bare(cls, value: str) -> str:
        return bare_gpu_id(value)


class ChuteEvent(EventData):
    """Created, updated or deleted; `job_only` chutes are not deployed on creation."""

    chute_id: SafeId
    version: SafeId
    job_only: bool | None = None


class BountyChange(EventData):
    chute_id: SafeId
    bounty: int | None = None
    effective_multiplier: float | None = None
    bounty_boost: float | None = None


class ImageEvent(EventData):
    image_id: SafeId


class ImageUpdated(ImageEvent):
    image: str
    chute_ids: tuple[SafeId, ...] = ()
    chutes_version: str | None = None
    short_tag: str | None = None
    patch_version: str | None = None


class InstanceEvent(EventData):
    """Created, activated, deleted or disabled; a deletion may come without a launch config."""

    instance_id: SafeId
    miner_hotkey: str
    chute_id: SafeId | None = None
    config_id: SafeId | None = None


class InstanceCreated(InstanceEvent):
    config_id: SafeId
    gpu_count: int | None = None
    gpu_model_name: str | None = None


class InstanceActivated(InstanceEvent):
    config_id: SafeId


class RollingUpdateEvent(EventData):
    chute_id: SafeId
    instance_id: SafeId
    miner_hotkey: str
    old_version: str | None = None
    new_version: SafeId
    reason: str | None = None
    image: str | None = None


class JobCreated(EventData):
    """`exclude` names hotkeys that may not take the job; old senders write `excluded`."""

    job_id: SafeId
    chute_id: SafeId
    method: str | None = None
    image_id: str | None = None
    gpu_count: int | None = None
    compute_multiplier: float | None = None
    exclude: tuple[str, ...] = ()
    disk_gb: int = Field(default=DEFAULT_DISK_GB, ge=1, le=100_000)

    @model_validator(mode="before")
    @classmethod
    def _both_spellings(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        found = dict(data)
        found["exclude"] = found.get("exclude") or found.get("excluded") or ()
        if found.get("disk_gb") is None:
            found["disk_gb"] = DEFAULT_DISK_GB
        return found


class JobDeleted(EventData):
    instance_id: SafeId
    job_id: SafeId


class ServerDeleted(EventData):
    server_id: SafeId


class GpuDeleted(EventData):
    gpu_id: SafeId


PAYLOADS: Final[dict[Reason, type[EventData]]] = {
    Reason.GPU_VERIFIED: GpuVerified,
    Reason.CHUTE_CREATED: ChuteEvent,
    Reason.CHUTE_UPDATED: ChuteEvent,
    Reason.CHUTE_DELETED: ChuteEvent,
    Reason.BOUNTY_CHANGE: BountyChange,
    Reason.IMAGE_CREATED: ImageEvent,
    Reason.IMAGE_DELETED: ImageEvent,
    Reason.IMAGE_UPDATED: ImageUpdated,
    Reason.INSTANCE_CREATED: InstanceCreated,
    Reason.INSTANCE_VERIFIED: InstanceEvent,
    Reason.INSTANCE_ACTIVATED: InstanceActivated,
    Reason.INSTANCE_DELETED: InstanceEvent,
    Reason.INSTANCE_DISABLED: InstanceEvent,
    Reason.ROLLING_UPDATE: RollingUpdateEvent,
    Reason.JOB_CREATED: JobCreated,
    Reason.JOB_DELETED: JobDeleted,
    Reason.SERVER_DELETED: ServerDeleted,
    Reason.GPU_DELETED: GpuDeleted,
}


class Event(WireModel):
    """An understood message; `raw` is its data as it came, for the relay to programs that read more than we do."""

    reason: Reason
    data: EventData
    raw: dict[str, object] = Field(default_factory=dict)

    def envelope(self) -> bytes:
        """The message of the control channel `miner_events`, byte-compatible with the public programs' reading."""
        return orjson.dumps({"event_type": self.reason.value, "event_data": self.raw})


class Rejected(WireModel):
    """A message that was not taken, and why."""

    why: str
    reason: str | None = None


def understand(reason: object, data: object) -> Event | Rejected:
    """Read a reason with its data."""
    try:
        known = Reason(str(reason))
    except ValueError:
        return Rejected(why="unknown reason", reason=_printable(reason))
    if not isinstance(data, dict):
        return Rejected(why="no data object", reason=known.value)
    try:
        event = Event(reason=known, data=PAYLOADS[known].model_validate(data), raw=data)
        event.envelope()
    except TypeError as error:  # half a surrogate pair, a number over 64 bits: it could not be handed on
        return Rejected(why=f"data cannot be written as JSON: {error}", reason=known.value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return Rejected(why=f"data.{where}: {first['msg']}", reason=known.value)

    return event


def _printable(reason: object) -> str:
    return str(reason)[:60].encode("ascii", "backslashreplace").decode()


def from_broadcast(message: object, *, validator: str, hotkey: str) -> Event | Rejected:
    """Read a `miner_broadcast` of one validator's connection. Local reasons and other miners' messages are refused."""
    if not isinstance(message, dict):
        return Rejected(why="not an object")
    data = message.get("data")
    event = understand(message.get("reason"), {**data, "validator": validator} if isinstance(data, dict) else data)
    if isinstance(event, Rejected):
        return event
    if event.reason in LOCAL_REASONS:
        return Rejected(why="a local reason came from a validator", reason=event.reason.value)
    if event.reason in OWN_REASONS and getattr(event.data, "miner_hotkey", hotkey) != hotkey:
        return Rejected(why="another miner's", reason=event.reason.value)
    return event


def from_envelope(message: bytes | str) -> Event | Rejected:
    """Read a message of the control channel."""
    try:
        envelope = orjson.loads(message)
    except orjson.JSONDecodeError:
        return Rejected(why="not JSON")
    if not isinstance(envelope, dict):
        return Rejected(why="not an object")
    return understand(envelope.get("event_type"), envelope.get("event_data"))

"""Instances, launch configs and job assignments as validators describe them (spec: protocol 8.1, 8.2, 8.7, 9)."""

from __future__ import annotations

from enum import IntEnum

from pydantic import Field

from app.protocol.wire import Moment, SafeId, WireModel


class InstanceRecord(WireModel):
    """One of this miner's instances. An absent `active` is unknown, not true (spec: protocol 21, 19)."""

    instance_id: SafeId
    chute_id: SafeId
    version: str | None = None
    config_id: str | None = None
    active: bool | None = None
    verified: bool | None = None
    last_verified_at: Moment | None = None
    created_at: Moment | None = None
    activated_at: Moment | None = None
    miner_hotkey: str | None = None
    chutes_version: str | None = None
    verification_error: str | None = None


class ActiveInstance(WireModel):
    """One active instance of any miner."""

    instance_id: SafeId
    chute_id: SafeId
    miner_hotkey: str
    activated_at: Moment | None = None
    compute_multiplier: float | None = None


class LaunchConfig(WireModel):
    """A permission to start one instance. The token is a secret: it shows in neither repr nor str."""

    token: str = Field(repr=False)
    config_id: SafeId


class LaunchAnswer(IntEnum):
    """What a validator answers to a request for a launch config (spec: protocol 8.7)."""

    ISSUED = 200
    UNFIT = 400
    UNAUTHORISED = 401
    FORBIDDEN = 403
    UNKNOWN = 404
    CONFLICT = 409
    AT_CAPACITY = 423


class PortMapping(WireModel):
    """One port of a pod as it tells the validator."""

    proto: str
    internal_port: int
    external_port: int
    default: bool = False


class VerificationStatus(WireModel):
    """How far a GraVal verification is (spec: protocol 8.13): pending, verified, error or failed."""

    status: str
    error: str | None = None
    detail: str | None = None

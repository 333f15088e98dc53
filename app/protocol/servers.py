"""Servers, GPUs and deployments on the wire: what validators say of ours, what the miner API takes and answers.

Spec: protocol 3, 4, 8.1, 8.2, 8.5, 8.6.
"""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, field_validator

from app.protocol.wire import Moment, SafeId, WireModel, bare_gpu_id


class DeviceInfo(WireModel):
    """One GPU as a worker reports it. Memory is in bytes, the clock in kHz; other fields are kept as they came."""

    model_config = ConfigDict(frozen=True, extra="allow")

    uuid: str
    name: str
    memory: int
    clock_rate: float
    major: int | None = None
    minor: int | None = None
    processors: int | None = None
    sxm: bool | None = None
    max_threads_per_processor: int | None = None
    concurrent_kernels: bool | None = None
    ecc: bool | None = None

    @field_validator("uuid")
    @classmethod
    def _bare(cls, value: str) -> str:
        return bare_gpu_id(value)


class NodeRecord(WireModel):
    """One of this miner's GPUs as the validator's inventory has it."""

    uuid: str
    name: str | None = None
    memory: int | None = None
    gpu_identifier: str | None = None
    device_index: int | None = None
    server_id: str | None = None
    verification_host: str | None = None
    verification_port: int | None = None
    verified_at: Moment | None = None
    verification_error: str | None = None
    miner_hotkey: str | None = None
    seed: int | None = None


class RemoteGpu(WireModel):
    """One GPU in the validator's list of servers."""

    uuid: str
    gpu_identifier: str | None = None
    device_index: int | None = None
    verified_at: Moment | None = None
    verification_error: str | None = None


class RemoteServer(WireModel):
    """One of this miner's servers at the validator. `version` is the VM's attested version; absent is unknown."""

    server_id: SafeId
    name: str | None = None
    ip: str | None = None
    is_tee: bool | None = None
    version: str | None = None
    maintenance_pending: bool | None = None
    created_at: Moment | None = None
    updated_at: Moment | None = None
    gpus: tuple[RemoteGpu, ...] = ()


class RemoteServers(WireModel):
    """The envelope of `GET /miner/servers/`."""

    servers: tuple[RemoteServer, ...]


class RegisteredGpu(WireModel):
    """One GPU in a registration at the validator; nulls are left out on the wire."""

    uuid: str
    name: str
    memory: int
    clock_rate: float
    device_index: int = Field(ge=0, le=9)
    gpu_identifier: str
    verification_host: str
    verification_port: int
    major: int | None = None
    minor: int | None = None
    processors: int | None = None
    sxm: bool | None = None
    max_threads_per_processor: int | None = None
    concurrent_kernels: bool | None = None
    ecc: bool | None = None


def registered_gpus(devices: list[DeviceInfo], gpu_identifier: str, host: str, port: int) -> tuple[RegisteredGpu, ...]:
    """The GPUs of a registration: known fields of the devices only, indexed by their position (spec: protocol 8.5).

    Raises:
        ValueError: there are more than ten devices, which validators refuse.
    """
    if len(devices) > 10:
        raise ValueError(f"a server may have at most 10 GPUs, this one reports {len(devices)}")
    return tuple(
        RegisteredGpu(
            **device.model_dump(include=set(RegisteredGpu.model_fields)),
            device_index=index,
            gpu_identifier=gpu_identifier,
            verification_host=host,
            verification_port=port,
        )
        for index, device in enumerate(devices)
    )


class ServerRegistration(WireModel):
    """The body of the validator's `POST /servers/`."""

    host: str
    id: str
    name: str
    gpus: tuple[RegisteredGpu, ...]


class NodeRegistration(WireModel):
    """The body of the validator's `POST /nodes/`, for GPUs that prove themselves by GraVal (spec: protocol 8.13)."""

    server_id: str
    server_name: str
    nodes: tuple[RegisteredGpu, ...]


class AddServer(WireModel):
    """The body of the miner API's `POST /servers/` (spec: protocol 4). The cost is in USD per GPU and hour.

    With `kubeconfig` the agent is not asked for one: for bare nodes it comes from our own set-up (DESIGN D17).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    validator: str = Field(min_length=1, max_length=128)
    hourly_cost: float = Field(ge=0, lt=1000, allow_inf_nan=False)
    gpu_short_ref: str = Field(min_length=1, max_length=64)
    agent_api: str | None = Field(default=None, max_length=2048)
    # Ours; public clients send none of these.
    kind: Literal["bare", "tee"] | None = None
    kubeconfig: str | None = Field(default=None, max_length=1024 * 1024, repr=False)
    registry_token_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")


class RegistryToken(WireModel):
    """The digest of a node's registry token (DESIGN D17); the token itself stays on the node."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    registry_token_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class HourlyCost(WireModel):
    """What a server costs now, in USD per GPU and hour."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hourly_cost: float = Field(ge=0, lt=1000, allow_inf_nan=False)


class AgentAddress(WireModel):
    """Where a server's agent, and with it the server, is reached now."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agent_api: str = Field(min_length=1, max_length=2048)


class PurgedDeployment(WireModel):
    """One element of the answers to the purge routes."""

    chute_id: str
    chute_name: str | None
    server_id: str
    server_name: str
    gpu_count: int


class SupportedGpu(WireModel):
    """Specs of one GPU model in the validator's `GET /nodes/supported`; only its key is relied on."""

    memory: float | None = None
    hourly_rate: float | None = None

"""Chutes and images as validators describe them (spec: protocol 8.1, 8.3, 8.4)."""

from __future__ import annotations

from typing import Final

from pydantic import Field, field_validator

from app.protocol.wire import Moment, SafeId, Text, WireModel

#: The patch version that gives an image tag no suffix.
INITIAL_PATCH: Final = "initial"


class JobPort(WireModel):
    """A port that a job opens beside the fixed ones; `proto` is tcp, udp or http."""

    proto: str
    port: int = Field(ge=1, le=65535)


class JobMethod(WireModel):
    """A job that a chute offers."""

    name: str = ""
    ports: tuple[JobPort, ...] = ()

    @field_validator("ports", mode="before")
    @classmethod
    def _null_is_none(cls, value: object) -> object:
        return value or ()


class NodeSelector(WireModel):
    """Which GPUs a chute wants. Memory is in GiB, the price in USD per GPU and hour."""

    gpu_count: int = Field(default=1, ge=0, le=64)
    min_vram_gb_per_gpu: int | None = None
    max_hourly_price_per_gpu: float | None = None
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None
    compute_multiplier: float | None = None
    compute_type: str = "gpu"
    supported_gpus: tuple[str, ...] = ()


class ChuteRecord(WireModel):
    """A chute at one version. `code` and `filename` may be absent from newer validators and are then empty."""

    chute_id: SafeId
    version: SafeId
    name: str | None = None
    image: str = ""
    image_id: str | None = None
    code: Text = ""
    filename: Text = ""
    ref_str: Text = ""
    supported_gpus: tuple[str, ...] | None = None
    node_selector: NodeSelector = NodeSelector()
    chutes_version: str | None = None
    preemptible: bool = True
    tee: bool = False
    jobs: tuple[JobMethod, ...] | None = None
    effective_compute_multiplier: float | None = None
    disabled: bool = False
    public: bool | None = None
    max_instances: int | None = None
    scaling_threshold: float | None = None
    shutdown_after_seconds: int | None = None
    concurrency: int | None = None
    boost: float | None = None
    bounty: int | None = None
    cords: tuple[object, ...] | None = None
    compute_multiplier_factors: dict[str, object] | None = None
    created_at: Moment | None = None
    updated_at: Moment | None = None

    @field_validator("preemptible", mode="before")
    @classmethod
    def _null_is_preemptible(cls, value: object) -> object:
        return True if value is None else value

    @field_validator("tee", "disabled", mode="before")
    @classmethod
    def _null_is_false(cls, value: object) -> object:
        return False if value is None else value

    @field_validator("node_selector", mode="before")
    @classmethod
    def _null_is_default(cls, value: object) -> object:
        return {} if value is None else value

    @property
    def gpu_refs(self) -> tuple[str, ...]:
        """Short references of the GPU models that it may run on."""
        return self.supported_gpus if self.supported_gpus is not None else self.node_selector.supported_gpus

    @property
    def gpu_count(self) -> int:
        """GPUs per instance."""
        return self.node_selector.gpu_count

    @property
    def has_cords(self) -> bool:
        """Whether it answers requests; unless the validator says that it has no cords, it does."""
        return self.cords is None or bool(self.cords)

    @property
    def is_cpu_only(self) -> bool:
        """Whether the validator schedules it itself, on CPUs; miners ignore it."""
        return self.node_selector.compute_type == "cpu"


class ImageRecord(WireModel):
    """An image that chutes are built from."""

    image_id: SafeId
    username: str = ""
    name: str = ""
    tag: str = ""
    patch_version: str | None = None
    chutes_version: str | None = None
    status: str | None = None

    @property
    def reference(self) -> str:
        """`user/name:tag`, with the patch as a suffix of the tag; user and name in lower case, as registries demand."""
        suffix = "" if self.patch_version in (None, "", INITIAL_PATCH) else f"-{self.patch_version}"
        return f"{self.username}/{self.name}".lower() + f":{self.tag}{suffix}"


class ChuteMetrics(WireModel):
    """What a chute did lately, all miners together."""

    chute_id: SafeId
    compute_multiplier: float | None = None
    total_invocations: float | None = None
    total_compute_time: float | None = None
    error_count: float | None = None
    rate_limit_count: float | None = None
    instance_count: float | None = None
    per_second_price_usd: float | None = None
    total_usage_usd: float | None = None


class Utilization(WireModel):
    """How busy a chute is; `scalable` false or an update in progress means that no copy is to be added."""

    chute_id: SafeId
    scalable: bool | None = None
    update_in_progress: bool | None = None
    scale_allowance: int | None = None
    target_count: int | None = None
    total_instance_count: int | None = None
    active_instance_count: int | None = None
    effective_multiplier: float | None = None
    utilization_5m: float | None = None
    utilization_15m: float | None = None
    rate_limit_ratio_5m: float | None = None


class RollingUpdate(WireModel):
    """A chute that the validator is moving from one version to another; `permitted` counts moves per hotkey."""

    chute_id: SafeId
    old_version: str | None = None
    new_version: str | None = None
    started_at: Moment | None = None
    permitted: dict[str, int] = Field(default_factory=dict)

    @field_validator("permitted", mode="before")
    @classmethod
    def _null_is_empty(cls, value: object) -> object:
        return {} if value is None else value

"""Settings of our own programs: miner API, Gepetto, monitor, agent, tracker, audit exporter.

Sizes that fit a control host of 64 GiB; what a program decides by itself has no setting here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints

from app.protocol.validators import DEFAULT_REGISTRY
from infra.settings.base import Ss58, Tree

HttpAddress = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+$")]
SocketAddress = Annotated[str, StringConstraints(pattern=r"^(wss?|https?)://[^\s/]+$")]
#: The public network's validator (spec: protocol 1).
PUBLIC_VALIDATOR: Final = "5Dt7HZ7Zpw4DppPxFM7Ke3Cm7sDAWhsZXmM5ZAmE7dSVJbcQ"


class ValidatorSettings(Tree):
    """One validator that the fleet serves."""

    hotkey: Ss58
    api: HttpAddress = Field(examples=["https://api.chutes.ai"])
    socket: SocketAddress = Field(examples=["wss://ws.chutes.ai"])
    registry: str = Field(
        default=DEFAULT_REGISTRY,
        pattern=r"^(http://)?[a-z0-9.-]+(:\d+)?$",
        description="TLS unless http:// says otherwise, which only a lab does.",
        examples=[DEFAULT_REGISTRY],
    )


DEFAULT_VALIDATORS: Final = (
    ValidatorSettings(hotkey=PUBLIC_VALIDATOR, api="https://api.chutes.ai", socket="wss://ws.chutes.ai"),
)


class ApiSettings(Tree):
    """The miner API."""

    workers: int = Field(default=4, ge=1, le=64, examples=[4])
    memory_mib: int = Field(default=2048, ge=128, examples=[2048])
    signature_stage: Literal["off", "observe", "prefer", "require"] = Field(
        default="off", description="How far version 2 of signatures is insisted on.", examples=["observe"]
    )
    hand_out_kubeconfigs: bool = Field(
        default=False,
        description="Answer `chutes-miner sync-kubeconfig`. The answer holds credentials and travels over plain HTTP.",
        examples=[True],
    )


class GepettoSource(StrEnum):
    """Who owns ConfigMap `gepetto-code` (D15): this stack, or the operator with kubectl."""

    STACK = "stack"
    CLUSTER = "cluster"


class GepettoSettings(Tree):
    """The scheduler."""

    source: GepettoSource = Field(default=GepettoSource.STACK, examples=["cluster"])
    file: str | None = Field(
        default=None,
        description="Your gepetto.py, relative to the project; absent: the built-in strategies. Only for source stack.",
        examples=["gepetto.py"],
    )
    settings: dict[str, Any] = Field(default_factory=dict, description="Content of gepetto.yaml.")
    shutdown_seconds: int = Field(default=180, ge=10, le=3600, examples=[180])
    memory_mib: int = Field(default=2048, ge=128, examples=[2048])


class MonitorSettings(Tree):
    """The monitor, and the agents that report to it."""

    observation: Literal["push", "pull", "both"] = Field(default="both", examples=["both"])
    heartbeat_seconds: int = Field(default=30, ge=1, le=300, examples=[30])
    memory_mib: int = Field(default=1024, ge=128, examples=[1024])
    agent_memory_mib: int = Field(default=512, ge=64, examples=[512])


class TrackerSettings(Tree):
    """Hourly snapshots of all subnets on the control cluster."""

    enabled: bool = Field(default=True, examples=[False])
    network: str = Field(default="finney", pattern=r"^([a-z]+|wss?://[^\s]+)$", examples=["finney"])
    schedule: str = Field(default="17 * * * *", examples=["17 * * * *"])
    storage_gib: int = Field(default=10, ge=1, examples=[10])
    memory_mib: int = Field(default=1024, ge=256, examples=[1024])


class AuditSettings(Tree):
    """Hourly reports of what ran, committed on the chain and sent to the validators (spec: protocol 16)."""

    enabled: bool = Field(default=True, examples=[False])
    subtensor: str = Field(
        default="wss://entrypoint-finney.opentensor.ai:443",
        pattern=r"^wss?://[^\s]+$",
        examples=["wss://entrypoint-finney.opentensor.ai:443"],
    )
    memory_mib: int = Field(default=512, ge=128, examples=[512])

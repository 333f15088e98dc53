"""Settings of the monitor: the public monitor's environment variables and a few of ours (spec: agent-monitor 14.6)."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ObservationMode(StrEnum):
    """Where knowledge of a cluster comes from: its agent, direct informers, or both."""

    PUSH = "push"
    PULL = "pull"
    BOTH = "both"


class MonitorSettings(BaseSettings):
    """Read once at start; a missing or malformed value ends the program with its name."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    miner_ss58: str
    miner_seed: SecretStr
    redis_url: str = "redis://redis:6379"
    postgresql: SecretStr = SecretStr("postgresql+asyncpg://user:password@127.0.0.1:5432/chutes")
    #: Kubeconfigs are stored sealed. Off only where public programs read the same database.
    kubeconfig_sealed: bool = True
    #: Address of this monitor as agents reach it; empty never starts an agent.
    monitor_api: str = ""
    heartbeat_interval: float = Field(30, gt=0)
    reconciliation_interval_seconds: float = Field(60, gt=0)
    reinitiate_interval_seconds: float = Field(120, gt=0)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    observation_mode: ObservationMode = ObservationMode.BOTH
    #: Between two comparisons of a followed cluster with its cache. Readers call a reading stale after 180 s.
    anti_entropy_seconds: float = Field(120, gt=0)
    removal_grace_seconds: float = Field(60, ge=0)
    #: Answer 409 to a second registration and 410 to a snapshot of an unknown cluster, as the public monitor does.
    strict_registration: bool = False
    port: int = 8000

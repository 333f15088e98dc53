"""Settings of the agent, from the public agent's environment variables and a few of ours (spec: agent-monitor 14.6)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class AgentSettings(BaseSettings):
    """Read once at start; a missing or malformed value ends the program with its name."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_file=".env", hide_input_in_errors=True)

    miner_ss58: str
    miner_seed: SecretStr
    #: Name of the node, which is the name of its cluster.
    cluster_name: str = Field(min_length=1)
    control_plane_timeout: float = Field(30, gt=0)
    heartbeat_interval: float = Field(30, gt=0)
    watch_namespaces: tuple[str, ...] = ("chutes",)
    control_plane_url_file: Path = Path("/app/state/control_plane_url")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    #: A kubeconfig of the operator's own; empty takes the pod's service account.
    kubeconfig: Path | None = None
    #: Answer 200 to a start that the monitor refused with "not in inventory", as the public agent does.
    compatible_start: bool = False
    #: The shortest pause between two complete lists.
    sync_spacing_seconds: float = Field(10, gt=0)
    port: int = 8000

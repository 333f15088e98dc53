"""Settings of the commands: from options, then from `TRACKER_*` variables, then these defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class TrackerSettings(BaseSettings):
    """What an hourly Job sets (spec: tracker 9). Only a database URL is secret; it comes from a Kubernetes Secret."""

    model_config = SettingsConfigDict(env_prefix="TRACKER_", frozen=True, extra="ignore", hide_input_in_errors=True)

    network: str = Field(default="finney", description="network name or websocket URL")
    dir: Path = Field(default=Path("snapshots"), description="folder of the snapshot files")
    store: str | None = Field(default=None, description="PostgreSQL URL or SQLite file; else history.db in the folder")
    archive: str | None = Field(default=None, description="websocket URL of an endpoint with all history")
    chunk_keys: int = Field(default=8_192, ge=64, description="storage keys in one request")
    pace_seconds: float = Field(default=0.0, ge=0, description="pause between blocks that an archive is asked for")
    hotkeys: Annotated[tuple[str, ...], NoDecode] = Field(default=(), description="my hotkeys, by commas or spaces")

    metrics_file: Path | None = Field(default=None, description="Prometheus text file that each snapshot replaces")

    @field_validator("hotkeys", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @property
    def store_place(self) -> str:
        """Where the change store lies."""
        return self.store or str(self.dir / "history.db")

"""Settings of the commands: from options, then from `TRACKER_*` variables, then these defaults."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class TrackerSettings(BaseSettings):
    """What an hourly Job sets (spec: tracker 9). Only a database URL is secret; it comes from a Kubernetes Secret."""

    model_config = SettingsConfigDict(env_prefix="TRACKER_", frozen=True, extra="ignore", hide_input_in_errors=True)

    network: str = Field(default="finney", description="network name or websocket URL")
    dir: Path = Field(default=Path("snapshots"), description="folder of the snapshot files")
    store: str | None = Field(default=None, description="PostgreSQL URL or SQLite file; else history.db in the folder")
    archive: str | None = Field(default=None, description="websocket URL of an endpoint with all history")
    chunk_keys: int = Field(default=8_192, ge=64, description="storage keys in one request")
    hotkeys: tuple[str, ...] = Field(default=(), description="my hotkeys, to be watched")

    @property
    def store_place(self) -> str:
        """Where the change store lies."""
        return self.store or str(self.dir / "history.db")

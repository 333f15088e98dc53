"""The validators a miner serves, as the public VALIDATORS variable names them (spec: protocol 13.1). Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from app.protocol.wire import WireModel

DEFAULT_REGISTRY = "registry.chutes.ai"


class ValidatorEntry(WireModel):
    """One validator: its hotkey, the base URL of its API, its registry's host, and its event socket."""

    hotkey: str = Field(min_length=1)
    api: str
    socket: str
    registry: str = DEFAULT_REGISTRY

    @field_validator("api", "socket")
    @classmethod
    def _without_slash(cls, value: str) -> str:
        if urlsplit(value).scheme not in ("http", "https", "ws", "wss"):
            raise ValueError(f"a validator's address starts with http, https, ws or wss; got {value[:80]!r}")
        return value.rstrip("/")


class Validators(WireModel):
    """The value of VALIDATORS; only `supported` is read, as in the public programs."""

    supported: tuple[ValidatorEntry, ...]

    def find(self, hotkey: str) -> ValidatorEntry | None:
        """The entry of one hotkey."""
        return next((entry for entry in self.supported if entry.hotkey == hotkey), None)

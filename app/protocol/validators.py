"""The validators a miner serves, as the public VALIDATORS variable names them (spec: protocol 13.1). Pure."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from app.protocol.wire import WireModel

DEFAULT_REGISTRY = "registry.chutes.ai"
_PLAIN_SCHEMES = frozenset({"http", "ws"})


def plain_host(address: str) -> str | None:
    """The host of an address that is reached without TLS; None where TLS protects it."""
    parts = urlsplit(address)
    return (parts.hostname or "") if parts.scheme in _PLAIN_SCHEMES else None


def is_never_public(host: str) -> bool:
    """Whether a host is this machine or an address that no public network routes: labs, tunnels. Names are public."""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host == "localhost"


class ValidatorEntry(WireModel):
    """One validator: its hotkey, the base URL of its API, its registry's host, and its event socket.

    What a validator says ends deployments, and its messages are unsigned: only TLS tells who speaks (spec: protocol
    23.2, 13). An address without it is taken only where no public network is on the way.
    """

    hotkey: str = Field(min_length=1)
    api: str
    socket: str
    registry: str = DEFAULT_REGISTRY

    @field_validator("api", "socket")
    @classmethod
    def _without_slash(cls, value: str) -> str:
        if urlsplit(value).scheme not in ("http", "https", "ws", "wss"):
            raise ValueError(f"a validator's address starts with http, https, ws or wss; got {value[:80]!r}")
        host = plain_host(value)
        if host is not None and not is_never_public(host):
            raise ValueError(
                f"{value[:80]!r} is reached without TLS, so anybody on the way could end every deployment: "
                "use wss:// for the socket and https:// for the API"
            )
        return value.rstrip("/")


class Validators(WireModel):
    """The value of VALIDATORS; only `supported` is read, as in the public programs."""

    supported: tuple[ValidatorEntry, ...]

    def find(self, hotkey: str) -> ValidatorEntry | None:
        """The entry of one hotkey."""
        return next((entry for entry in self.supported if entry.hotkey == hotkey), None)

"""Names of a bare node's registry proxy: hosts, image references, headers (spec: protocol 15.1, 15.3). Pure.

What nginx is told is in `registry_proxy_settings`, which programs that only name images do not carry.
"""

from __future__ import annotations

from typing import Final

from app.protocol.ports import NodePort

DOMAIN: Final = "localregistry.chutes.ai"
TOKEN_HEADER: Final = "X-Headframe-Node-Token"  # noqa: S105 - a header's name
METHOD_HEADER: Final = "X-Original-Method"
URI_HEADER: Final = "X-Original-URI"
AUTH_PATH: Final = "/registry/auth"
#: What the API signs a pull with; nginx copies these from the answer to the request for the registry.
SIGNED_HEADERS: Final = ("X-Chutes-Hotkey", "X-Chutes-Nonce", "X-Chutes-Signature")


def proxy_host(validator_hotkey: str) -> str:
    """The host name by which images of one validator are pulled through the node's own proxy."""
    return f"{validator_hotkey.lower()}.{DOMAIN}"


def proxied_image(validator_hotkey: str, image: str, port: int = NodePort.REGISTRY_PROXY) -> str:
    """Full reference of an image (`user/name:tag`) through the proxy."""
    return f"{proxy_host(validator_hotkey)}:{int(port)}/{image}"


def loopback_endpoint(port: int = NodePort.REGISTRY_PROXY) -> str:
    """Where the node's container runtime reaches the proxy. Loopback, so that nothing depends on a public name."""
    return f"http://127.0.0.1:{int(port)}"

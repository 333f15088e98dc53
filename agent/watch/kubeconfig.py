"""Hands the node's miner kubeconfig to an old control plane (spec: agent-monitor 5, 13).

It is only read, from one secret, and given to nobody but the miner, by the signature. For nodes that Headframe sets up
the kubeconfig travels another way (decision D17), and this stays unused.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import httpx
import msgspec
import yaml
from cryptography import x509

SECRET_NAMESPACE: Final = "default"  # noqa: S105 - a name
SECRET_NAME: Final = "miner-kubeconfig"  # noqa: S105 - a name
_KEY: Final = "kubeconfig"


class KubeconfigUnavailableError(RuntimeError):
    """The kubeconfig cannot be handed out. `status` is the answer that control planes expect for this case."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class _Secret(msgspec.Struct):
    data: dict[str, str] = {}


async def read_kubeconfig(kubernetes: httpx.AsyncClient) -> str:
    """The kubeconfig's text.

    Raises:
        KubeconfigUnavailableError: 404 no secret, 403 not allowed to read it, 500 anything else.
    """
    place = f"Secret {SECRET_NAMESPACE}/{SECRET_NAME}"
    try:
        response = await kubernetes.get(f"/api/v1/namespaces/{SECRET_NAMESPACE}/secrets/{SECRET_NAME}")
    except (httpx.HTTPError, OSError) as error:
        raise KubeconfigUnavailableError(500, f"Error loading kubeconfig: {type(error).__name__}") from None
    if response.status_code == 404:
        raise KubeconfigUnavailableError(404, f"{place} not found")
    if response.status_code in {401, 403}:
        raise KubeconfigUnavailableError(403, f"Permission denied to read {place}")
    if response.status_code != 200:
        raise KubeconfigUnavailableError(500, f"Error loading kubeconfig: API answered {response.status_code}")
    try:
        data = msgspec.json.decode(response.content, type=_Secret).data
        if _KEY not in data:
            raise KubeconfigUnavailableError(500, f"{place} does not contain '{_KEY}' key")
        return base64.b64decode(data[_KEY], validate=True).decode()
    except (msgspec.MsgspecError, binascii.Error, UnicodeDecodeError):
        raise KubeconfigUnavailableError(500, f"Error loading kubeconfig: {place} is damaged") from None


def certificate_expiry(kubeconfig: str) -> float | None:
    """When the first client certificate in a kubeconfig ends, in Unix seconds; None when there is none to be read."""
    try:
        users = yaml.safe_load(kubeconfig)["users"]
        data = base64.b64decode(users[0]["user"]["client-certificate-data"])
        return x509.load_pem_x509_certificate(data).not_valid_after_utc.timestamp()
    except (yaml.YAMLError, KeyError, IndexError, TypeError, ValueError):
        return None

"""Hands the node's miner kubeconfig to an old control plane (spec: agent-monitor 5, 13).

It stands in one secret, and is given to nobody but the miner, by the signature; `agent.watch.renewal` keeps it valid.
For nodes that Headframe sets up the kubeconfig travels another way (decision D17), and this stays unused.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Final

import httpx
import msgspec

SECRET_NAMESPACE: Final = "default"  # noqa: S105 - a name
SECRET_NAME: Final = "miner-kubeconfig"  # noqa: S105 - a name
_KEY: Final = "kubeconfig"


class KubeconfigUnavailableError(RuntimeError):
    """The kubeconfig cannot be handed out. `status` is the answer that control planes expect for this case."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class _Metadata(msgspec.Struct):
    resourceVersion: str = ""  # noqa: N815 - Kubernetes' own name


class _Secret(msgspec.Struct):
    data: dict[str, str] = {}
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


@dataclass(frozen=True)
class StoredKubeconfig:
    """The secret's content at one version."""

    text: str = field(repr=False)
    resource_version: str


_PATH: Final = f"/api/v1/namespaces/{SECRET_NAMESPACE}/secrets/{SECRET_NAME}"


async def read_secret(kubernetes: httpx.AsyncClient) -> StoredKubeconfig:
    """The kubeconfig as it is stored.

    Raises:
        KubeconfigUnavailableError: 404 no secret, 403 not allowed to read it, 500 anything else.
    """
    place = f"Secret {SECRET_NAMESPACE}/{SECRET_NAME}"
    try:
        response = await kubernetes.get(_PATH)
    except (httpx.HTTPError, OSError) as error:
        raise KubeconfigUnavailableError(500, f"Error loading kubeconfig: {type(error).__name__}") from None
    if response.status_code == 404:
        raise KubeconfigUnavailableError(404, f"{place} not found")
    if response.status_code in {401, 403}:
        raise KubeconfigUnavailableError(403, f"Permission denied to read {place}")
    if response.status_code != 200:
        raise KubeconfigUnavailableError(500, f"Error loading kubeconfig: API answered {response.status_code}")
    try:
        secret = msgspec.json.decode(response.content, type=_Secret)
        if _KEY not in secret.data:
            raise KubeconfigUnavailableError(500, f"{place} does not contain '{_KEY}' key")
        text = base64.b64decode(secret.data[_KEY], validate=True).decode()
        return StoredKubeconfig(text, secret.metadata.resourceVersion)
    except (msgspec.MsgspecError, binascii.Error, UnicodeDecodeError):
        raise KubeconfigUnavailableError(500, f"Error loading kubeconfig: {place} is damaged") from None


async def replace_secret(kubernetes: httpx.AsyncClient, stored: StoredKubeconfig, text: str) -> bool:
    """Put another kubeconfig in its place; False when somebody else has changed the secret meanwhile.

    Raises:
        httpx.HTTPStatusError: it was not allowed, or failed.
    """
    body = {
        "metadata": {"resourceVersion": stored.resource_version},
        "data": {_KEY: base64.b64encode(text.encode()).decode()},
    }
    headers = {"Content-Type": "application/merge-patch+json"}
    response = await kubernetes.patch(_PATH, content=msgspec.json.encode(body), headers=headers)
    if response.status_code == 409:
        return False
    response.raise_for_status()
    return True

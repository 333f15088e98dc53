"""Renews the certificate of the kubeconfig that is handed out, before a third of its life is left (spec: 13, 20.3).

Asks the cluster's own signer; approves the request where the agent may, and else leaves that to the operator. The old
kubeconfig stays until the API server has taken the new certificate. A failure costs nothing: the next hour tries again.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import httpx
import msgspec
import structlog

from agent.watch.certificates import (
    CertificateProblemError,
    ClientCertificate,
    SigningRequest,
    client_certificate,
    request_like,
    with_certificate,
)
from agent.watch.kubeconfig import KubeconfigUnavailableError, StoredKubeconfig, read_secret, replace_secret
from agent.watch.metrics import AgentMetrics
from app.protocol.cluster_access import ClusterAccess, KubeconfigError, open_client, parse_kubeconfig

_PERIOD_SECONDS: Final = 3600.0
_APPROVAL_SECONDS: Final = 600.0
_POLL_SECONDS: Final = 2.0
_REQUESTS: Final = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
_SIGNER: Final = "kubernetes.io/kube-apiserver-client"
_log = structlog.get_logger(__name__)


class RenewalResult(StrEnum):
    """How a look at the certificate ended."""

    NOTHING_TO_RENEW = "nothing to renew"
    NOT_DUE = "not due"
    RENEWED = "renewed"
    FAILED = "failed"


class RenewalError(RuntimeError):
    """The cluster did not give a certificate, or gave one that it does not take itself."""


class _Metadata(msgspec.Struct):
    name: str


class _Condition(msgspec.Struct):
    type: str


class _Status(msgspec.Struct):
    certificate: bytes = b""
    conditions: list[_Condition] = []


class _Request(msgspec.Struct):
    """A CertificateSigningRequest; msgspec reads base64 where bytes are wanted."""

    metadata: _Metadata
    status: _Status = msgspec.field(default_factory=_Status)


@dataclass(frozen=True)
class Renewal:
    """Runs in a task of its own (`run`).

    Args:
        access: how this agent reaches its API server.
        kubernetes: an open client of the same.
        now: wall clock, Unix seconds.
    """

    access: ClusterAccess
    kubernetes: httpx.AsyncClient
    metrics: AgentMetrics
    now: Callable[[], float]
    approval_seconds: float = _APPROVAL_SECONDS

    async def run(self) -> None:
        """Look every hour; ends by cancellation."""
        while True:
            self.metrics.renewals.labels((await self.look()).value).inc()
            await asyncio.sleep(_PERIOD_SECONDS)

    async def look(self) -> RenewalResult:
        """Renew if it is time."""
        try:
            stored = await read_secret(self.kubernetes)
            certificate = client_certificate(stored.text)
        except (KubeconfigUnavailableError, CertificateProblemError):
            return RenewalResult.NOTHING_TO_RENEW
        self.metrics.kubeconfig_expiry.set(certificate.ends)
        if not certificate.is_due(self.now()):
            return RenewalResult.NOT_DUE
        try:
            renewed = await self._renew(stored, certificate)
        except (RenewalError, CertificateProblemError, KubeconfigError, httpx.HTTPError, OSError) as error:
            _log.warning("kubeconfig not renewed", error=str(error) or type(error).__name__, ends=certificate.ends)
            return RenewalResult.FAILED
        self.metrics.kubeconfig_expiry.set(renewed.ends)
        _log.info("kubeconfig renewed", ends=renewed.ends)
        return RenewalResult.RENEWED

    async def _renew(self, stored: StoredKubeconfig, old: ClientCertificate) -> ClientCertificate:
        request = request_like(old)
        name = await self._ask(request)
        issued = await self._wait(name)
        text = with_certificate(stored.text, old, request, issued)
        await self._prove(text)
        if not await replace_secret(self.kubernetes, stored, text):
            raise RenewalError("the Secret changed meanwhile; its new content stays")
        return client_certificate(text)

    async def _ask(self, request: SigningRequest) -> str:
        body = {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"generateName": "headframe-miner-"},
            "spec": {
                "request": base64.b64encode(request.pem).decode(),
                "signerName": _SIGNER,
                "usages": ["digital signature", "client auth"],
                "expirationSeconds": max(600, request.life_seconds),
            },
        }
        created = _checked(await self.kubernetes.post(_REQUESTS, json=body), "asking for a certificate")
        await self._approve(created.metadata.name)
        return created.metadata.name

    async def _approve(self, name: str) -> None:
        condition = {
            "type": "Approved",
            "status": "True",
            "reason": "HeadframeAgent",
            "message": "Renewal of the miner's kubeconfig, same subject.",
        }
        headers = {"Content-Type": "application/merge-patch+json"}
        content = msgspec.json.encode({"status": {"conditions": [condition]}})
        answer = await self.kubernetes.patch(f"{_REQUESTS}/{name}/approval", content=content, headers=headers)
        if answer.status_code == 403:
            _log.warning("not allowed to approve; run: kubectl certificate approve", request=name)
        else:
            _checked(answer, "approving the certificate")

    async def _wait(self, name: str) -> bytes:
        try:
            async with asyncio.timeout(self.approval_seconds):
                while True:
                    found = _checked(await self.kubernetes.get(f"{_REQUESTS}/{name}"), "reading the certificate")
                    if found.status.certificate:
                        return found.status.certificate
                    refused = {one.type for one in found.status.conditions} & {"Denied", "Failed"}
                    if refused:
                        raise RenewalError(f"the request {name} was {', '.join(refused).lower()}")
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise RenewalError(f"the request {name} was not approved and signed in time") from None

    async def _prove(self, text: str) -> None:
        """The API server must know the new certificate. Asked where the agent reaches it, not at its public address."""
        theirs = parse_kubeconfig(text)
        here = replace(
            theirs,
            server=self.access.server,
            certificate_authority=self.access.certificate_authority,
            skip_tls_verify=self.access.skip_tls_verify,
        )
        async with open_client(here) as client:
            answer = await client.get("/version")
        if answer.status_code not in {200, 403}:
            raise RenewalError(f"the API server answered {answer.status_code} to the new certificate")


def _checked(response: httpx.Response, doing: str) -> _Request:
    if response.status_code not in {200, 201}:
        raise RenewalError(f"{doing}: API answered {response.status_code}")
    try:
        return msgspec.json.decode(response.content, type=_Request)
    except msgspec.MsgspecError as error:
        raise RenewalError(f"{doing}: unreadable answer: {error}") from None

"""Calls to the node's own services: the agent (spec: protocol 5) and the attestation proxy (spec: protocol 7.1)."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import httpx
import orjson
import stamina
from pydantic import TypeAdapter, ValidationError

from app.protocol.ports import NodePort
from app.protocol.servers import DeviceInfo
from app.protocol.signing import Purpose, Signer, nonce_v1

TIMEOUT_SECONDS: Final = 30.0
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
#: A node lets nobody in for a moment after its agent says that it is ready: the rules of its port come after it.
PATIENCE_SECONDS: Final = 30.0
RETRY_SECONDS: Final = 1.0
_DEVICES: Final = TypeAdapter(list[DeviceInfo])


class AgentError(Exception):
    """The agent or the proxy did not answer as documented. `status` is its HTTP status, if there was one.

    `is_unheard`: there was no connection, so it has not heard of the request.
    """

    def __init__(self, message: str, status: int | None = None, *, is_unheard: bool = False) -> None:
        super().__init__(message)
        self.status, self.is_unheard = status, is_unheard


def _is_unheard(error: Exception) -> bool:
    return isinstance(error, AgentError) and error.is_unheard


def check_agent_url(url: str) -> str:
    """The base URL without its slash.

    Raises:
        AgentError: it is not a plain http(s) address.
    """
    try:
        parts = urlsplit(url)
        is_plain = bool(parts.hostname) and not (parts.username or parts.query or parts.fragment or parts.port == 0)
    except ValueError:  # half an IPv6 address, a port that is none
        is_plain = False
    if not is_plain or parts.scheme not in ("http", "https"):
        raise AgentError(f"an agent's address looks like http://203.0.113.7:{int(NodePort.AGENT)}; got {url[:100]!r}")
    return url.rstrip("/")


class AgentClient:
    """One node's agent, profile B."""

    def __init__(
        self,
        url: str,
        signer: Signer,
        http: httpx.AsyncClient,
        clock: Callable[[], float],
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.url = check_agent_url(url)
        self._patience_seconds = patience_seconds
        self._signer = signer
        self._http = http
        self._clock = clock

    async def kubeconfig(self) -> str:
        """The node's kubeconfig as text."""
        answer = await self._send("GET", "/config/kubeconfig", Purpose.REGISTRATION)
        found = answer.get("kubeconfig")
        if not isinstance(found, str):
            raise AgentError(f"{self.url} answered without a kubeconfig")
        return found

    async def start_monitoring(self, monitor_url: str) -> None:
        """Tell the agent where the monitor is, once it can be reached. One that runs already is told to stop first."""
        body = orjson.dumps({"control_plane_url": monitor_url})
        try:
            await self._start(body)
        except AgentError as error:
            if error.status != httpx.codes.CONFLICT:
                raise
            await self.stop_monitoring()
            await self._start(body)

    async def _start(self, body: bytes) -> None:
        async for attempt in stamina.retry_context(
            on=_is_unheard, attempts=None, timeout=self._patience_seconds,
            wait_initial=RETRY_SECONDS, wait_max=RETRY_SECONDS, wait_jitter=0,
        ):  # fmt: skip
            with attempt:
                await self._send("POST", "/monitor/start", None, body)

    async def stop_monitoring(self) -> None:
        """Tell the agent to stop; one that does not run is fine."""
        try:
            await self._send("GET", "/monitor/stop", Purpose.MONITORING)
        except AgentError as error:
            if error.status != httpx.codes.CONFLICT:
                raise

    async def _send(
        self, method: str, path: str, purpose: Purpose | None, body: bytes | None = None
    ) -> dict[str, object]:
        headers = self._signer.management_headers(nonce_v1(self._clock()), purpose=purpose, body=body)
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            response = await self._http.request(
                method, self.url + path, headers=headers, content=body, timeout=TIMEOUT_SECONDS
            )
        except httpx.HTTPError as error:
            unheard = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            message = f"{method} {self.url}{path}: {type(error).__name__} {error}".rstrip()
            raise AgentError(message, is_unheard=unheard) from error
        if response.status_code != 200 or len(response.content) > MAX_ANSWER_BYTES:
            raise AgentError(
                f"{method} {self.url}{path}: {response.status_code} {response.text[:200]}", response.status_code
            )
        try:
            found = orjson.loads(response.content)
        except orjson.JSONDecodeError as error:
            raise AgentError(f"{method} {self.url}{path}: the answer is not JSON") from error
        return found if isinstance(found, dict) else {}


class AttestationProxy:
    """One TEE node's proxy. Its certificate is self-signed: it is pinned at first sight, not verified."""

    def __init__(self, host: str, signer: Signer, clock: Callable[[], float], port: int = NodePort.ATTESTATION) -> None:
        self.url = f"https://{host}:{int(port)}"
        self._host, self._port = host, int(port)
        self._signer = signer
        self._clock = clock

    async def certificate_sha256(self) -> str:
        """Digest of the certificate that the proxy shows."""

        def fetch() -> str:
            pem = ssl.get_server_certificate((self._host, self._port), timeout=TIMEOUT_SECONDS)
            return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()

        try:
            return await asyncio.to_thread(fetch)
        except (OSError, ssl.SSLError) as error:
            raise AgentError(f"{self.url}: {type(error).__name__} {error}".rstrip()) from error

    async def check_health(self) -> None:
        """Whether the proxy answers."""
        await self._get("/server/health", {})

    async def devices(self) -> list[DeviceInfo]:
        """The node's GPUs."""
        headers = self._signer.hotkey_headers(nonce_v1(self._clock()), purpose=Purpose.ATTEST)
        try:
            return _DEVICES.validate_json((await self._get("/server/devices", headers)).content)
        except ValidationError as error:
            raise AgentError(f"{self.url}/server/devices: the answer is not a list of devices") from error

    async def _get(self, path: str, headers: dict[str, str]) -> httpx.Response:
        # The proof of identity is the validator's: it checks the quote, which binds this certificate.
        async with httpx.AsyncClient(verify=False, timeout=TIMEOUT_SECONDS) as http:  # noqa: S501
            try:
                response = await http.get(self.url + path, headers=headers)
            except httpx.HTTPError as error:
                raise AgentError(f"GET {self.url}{path}: {type(error).__name__} {error}".rstrip()) from error
        if response.status_code != 200:
            raise AgentError(f"GET {self.url}{path}: {response.status_code} {response.text[:200]}")
        return response

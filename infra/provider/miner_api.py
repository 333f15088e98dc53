"""The miner API as the provider calls it: list, add, remove, lock. Every request is signed (protocol 2, version 2).

Never sends a kubeconfig: for bare nodes the API reads it on its own cluster (D17).
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol
from urllib.parse import quote, urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from app.protocol.servers import AddServer
from app.protocol.signing import Request, Signer, nonce_v2

_READ_SECONDS: Final = 20.0
#: The API gives a bootstrap 890 s and says something at least that often.
_STREAM_SECONDS: Final = 900.0
_SHOWN_CHARACTERS: Final = 400


class MinerApiError(Exception):
    """A call failed. `status` None: nobody answered, so that nothing is known."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ListedGpu(BaseModel):
    """What is needed of a GPU of the list."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    verified: bool = False


class ListedServer(BaseModel):
    """What is needed of a server of the list."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    server_id: str
    name: str
    agent_api: str | None = None
    locked: bool | None = None
    gpus: tuple[ListedGpu, ...] = ()

    @property
    def verified_gpus(self) -> int:
        """How many GPUs are verified."""
        return sum(gpu.verified for gpu in self.gpus)


_SERVERS: Final = TypeAdapter(tuple[ListedServer, ...])


class MinerApi(Protocol):
    """Calls of one miner API. All raise `MinerApiError`."""

    async def servers(self) -> tuple[ListedServer, ...]:
        """All servers."""
        ...

    def add(self, server: AddServer) -> AsyncIterator[str]:
        """Add a server; messages as they come. The last one says whether it worked."""
        ...

    async def remove(self, name: str) -> None:
        """Begin to remove a server; one that is not there is fine."""
        ...

    async def put(self, name: str, what: str, body: dict[str, Any]) -> None:
        """Set one property of a server."""
        ...

    async def drain(self, name: str) -> None:
        """Place nothing more and end what runs."""
        ...

    async def unlock(self, name: str) -> None:
        """Allow placing again."""
        ...


class HttpMinerApi:
    """Over HTTP.

    Args:
        address: base address.
        signer: the miner's hotkey.
        clock: Unix seconds.
    """

    def __init__(
        self,
        address: str,
        signer: Signer,
        *,
        clock: Callable[[], float] = time.time,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._address = address.rstrip("/")
        self._signer = signer
        self._clock = clock
        self._transport = transport

    async def servers(self) -> tuple[ListedServer, ...]:
        """See `MinerApi`."""
        answer = await self._call("GET", "/servers/")
        try:
            return _SERVERS.validate_json(answer)
        except ValidationError as error:
            raise MinerApiError(f"{self._address}/servers/ answered something else than a list of servers") from error

    async def add(self, server: AddServer) -> AsyncIterator[str]:
        """See `MinerApi`."""
        body = server.model_dump_json(exclude_none=True).encode()
        async with self._request("POST", "/servers/", body, _STREAM_SECONDS) as response:
            try:
                async for line in response.aiter_lines():
                    if line.strip():
                        yield _message(line)
            except httpx.HTTPError as error:
                raise MinerApiError(f"the registration was cut off: {type(error).__name__}") from error

    async def remove(self, name: str) -> None:
        """See `MinerApi`."""
        try:
            await self._call("DELETE", f"/servers/{quote(name, safe='')}")
        except MinerApiError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise

    async def put(self, name: str, what: str, body: dict[str, Any]) -> None:
        """See `MinerApi`."""
        await self._call("PUT", f"/servers/{quote(name, safe='')}/{what}", json.dumps(body).encode())

    async def drain(self, name: str) -> None:
        """See `MinerApi`."""
        await self._call("POST", f"/servers/{quote(name, safe='')}/lock", b"{}")
        await self._call("DELETE", f"/servers/{quote(name, safe='')}/deployments")

    async def unlock(self, name: str) -> None:
        """See `MinerApi`."""
        await self._call("POST", f"/servers/{quote(name, safe='')}/unlock", b"{}")

    async def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        async with self._request(method, path, body, _READ_SECONDS) as response:
            return await response.aread()

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, body: bytes | None, read_seconds: float
    ) -> AsyncIterator[httpx.Response]:
        url = self._address + path
        nonce = nonce_v2(self._clock(), secrets.token_bytes(8))
        headers = self._signer.management_headers_v2(nonce, Request(method, urlsplit(url).path), body=body)
        if body is not None:
            headers["Content-Type"] = "application/json"
        timeout = httpx.Timeout(_READ_SECONDS, read=read_seconds)
        try:
            async with (
                httpx.AsyncClient(timeout=timeout, trust_env=False, transport=self._transport) as client,
                client.stream(method, url, content=body, headers=headers) as response,
            ):
                if response.status_code != httpx.codes.OK:
                    text = (await response.aread()).decode(errors="replace")[:_SHOWN_CHARACTERS]
                    raise MinerApiError(f"{method} {url}: {response.status_code} {text}", response.status_code)
                yield response
        except httpx.HTTPError as error:
            raise MinerApiError(f"{method} {url}: {type(error).__name__} {error}".rstrip()) from error


def _message(line: str) -> str:
    """The text of one `data: {...}` line; a line of another shape is shown as it came."""
    try:
        found = json.loads(line.removeprefix("data:"))
    except ValueError:
        return line[:_SHOWN_CHARACTERS]
    return str(found.get("message", line)) if isinstance(found, dict) else line[:_SHOWN_CHARACTERS]

"""Signed requests to one validator: pooled, bounded in time and rate, repeated only where repeating is harmless.

It knows no route; `client` does.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

import httpx
import orjson
import stamina

from app.protocol.signing import Purpose, Request, SignatureVersion, Signer, nonce_v1, nonce_v2
from app.protocol.validators import ValidatorEntry
from app.validators.errors import ClockSkewError, RefusedError, UnreachableError
from app.validators.limiter import TokenBucket

SKEW_TOLERATED_SECONDS: Final = 30
ATTEMPTS: Final = 3
CONNECT_TIMEOUT_SECONDS: Final = 10.0
#: A whole answer may take so many times as long as a silence within it: one that trickles in must end, too.
WHOLE_FACTOR: Final = 5.0
RATE_PER_SECOND: Final = 50.0
BURST: Final = 200
USER_AGENT: Final = "headframe"


@dataclass(frozen=True)
class Call:
    """One request. `purpose` is signed where there is no body; `repeatable` allows retries on no answer and 5xx.

    `timeout_seconds` is how long the validator may be silent; the whole answer may take five times that.
    """

    method: str
    path: str
    purpose: Purpose | None = None
    query: Mapping[str, str] | None = None
    body: bytes | None = None
    timeout_seconds: float = 30.0
    repeatable: bool = False
    headers: Mapping[str, str] | None = None

    @property
    def target(self) -> str:
        """Path with query, as it is sent."""
        return f"{self.path}?{httpx.QueryParams(self.query)}" if self.query else self.path


def new_http_client() -> httpx.AsyncClient:
    """A pool for all validators; verifies TLS, follows no redirect, because a signed request must not be repeated."""
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=40)
    return httpx.AsyncClient(limits=limits, follow_redirects=False, headers={"User-Agent": USER_AGENT})


class Transport:
    """Sends calls to one validator.

    Args:
        clock: Unix seconds, for nonces.
        version: the signature version that this validator expects.
    """

    def __init__(
        self,
        entry: ValidatorEntry,
        signer: Signer,
        http: httpx.AsyncClient,
        *,
        clock: Callable[[], float] = time.time,
        version: SignatureVersion = SignatureVersion.V1,
        limiter: TokenBucket | None = None,
    ) -> None:
        self.entry = entry
        self._signer = signer
        self._http = http
        self._clock = clock
        self._version = version
        self._limiter = limiter or TokenBucket(RATE_PER_SECOND, BURST, monotonic=time.monotonic)

    async def send(self, call: Call) -> httpx.Response:
        """Send a call and return a 2xx answer.

        Raises:
            UnreachableError: no answer came, after retries where the call is repeatable.
            RefusedError: an answer of 300 or more; ClockSkewError where clocks explain a 401.
        """
        if not call.repeatable:
            return await self._once(call)
        async for attempt in stamina.retry_context(
            on=_worth_a_retry, attempts=ATTEMPTS, timeout=None, wait_initial=0.2, wait_max=5.0, wait_jitter=0.5
        ):
            with attempt:
                return await self._once(call)
        raise AssertionError("stamina either returns or raises")

    async def _once(self, call: Call) -> httpx.Response:
        async with self.in_time(call), self.open(call) as response:
            await _read(response, self._what(call))
            return response

    @asynccontextmanager
    async def in_time(self, call: Call) -> AsyncIterator[None]:
        """The block in which a call is sent and its answer read to the end.

        Raises:
            UnreachableError: the answer did not end in time.
        """
        limit_seconds = WHOLE_FACTOR * call.timeout_seconds
        limit = asyncio.timeout(limit_seconds)
        try:
            async with limit:
                yield
        except TimeoutError as error:
            if not limit.expired():
                raise
            message = f"{self._what(call)}: the answer did not end within {limit_seconds:.0f} s"
            raise UnreachableError(message) from error

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[httpx.Response]:
        """Send a call and give out its 2xx answer before the body is read. Errors as `send`, without retries."""
        await self._limiter.take()
        timeout = httpx.Timeout(call.timeout_seconds, connect=min(CONNECT_TIMEOUT_SECONDS, call.timeout_seconds))
        request = self._http.build_request(
            call.method, self.entry.api + call.target, content=call.body, headers=self._headers(call), timeout=timeout
        )
        try:
            response = await self._http.send(request, stream=True)
        except httpx.HTTPError as error:
            raise UnreachableError(f"{self._what(call)}: {type(error).__name__} {error}".rstrip()) from error
        try:
            if response.status_code >= 300:
                await _read(response, self._what(call))
                raise self._refusal(call, response)
            yield response
        finally:
            await response.aclose()

    def _headers(self, call: Call) -> dict[str, str]:
        headers = dict(call.headers or {})
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        if call.purpose is None and call.body is None:
            return headers
        if self._version is SignatureVersion.V2:
            nonce = nonce_v2(self._clock(), os.urandom(8))
            request = Request(call.method, call.target)
            return headers | self._signer.hotkey_headers_v2(nonce, request, body=call.body)
        return headers | self._signer.hotkey_headers(nonce_v1(self._clock()), purpose=call.purpose, body=call.body)

    def _what(self, call: Call) -> str:
        return f"{call.method} {self.entry.api}{call.path}"

    def _refusal(self, call: Call, response: httpx.Response) -> RefusedError:
        detail = _detail(response)
        if response.status_code == 401:
            skew = _skew_seconds(response, self._clock())
            if abs(skew) > SKEW_TOLERATED_SECONDS:
                return ClockSkewError(self._what(call), detail, skew)
        return RefusedError(self._what(call), response.status_code, detail)


def _worth_a_retry(error: Exception) -> bool:
    return isinstance(error, UnreachableError) or (isinstance(error, RefusedError) and error.status >= 500)


async def _read(response: httpx.Response, what: str) -> None:
    try:
        await response.aread()
    except httpx.HTTPError as error:
        raise UnreachableError(f"{what}: the answer was cut: {type(error).__name__} {error}".rstrip()) from error


def _detail(response: httpx.Response) -> str:
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return response.text[:300]
    found = body.get("detail") if isinstance(body, dict) else body
    return found if isinstance(found, str) else orjson.dumps(found).decode()[:2000]


def _skew_seconds(response: httpx.Response, now: float) -> float:
    """How far our clock is ahead of the answer's Date header; 0 where there is none."""
    try:
        return now - parsedate_to_datetime(response.headers["date"]).timestamp()
    except (KeyError, ValueError):
        return 0.0

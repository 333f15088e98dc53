"""What every route does first: verify the caller, receive the body. Written against Starlette, for speed.

A request is refused on its headers before a byte of its body is read; the answer to every refusal is the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.observe.intake import BodyTooLargeError, Spool, fill
from app.observe.metrics import MonitorMetrics
from app.protocol.signing import Purpose
from app.protocol.signing import Request as SignedRequest
from app.protocol.verification import REFUSAL_DETAIL, Credentials, ManagementVerifier, Refusal

_BODY_METHODS: Final = frozenset({"POST", "PUT", "PATCH"})
SMALL_BODY_BYTES: Final = 64 << 10
EVENT_BODY_BYTES: Final = 8 << 20
SNAPSHOT_BODY_BYTES: Final = 512 << 20
#: Agents give a call up after 30 s: what takes longer than this comes from nobody who still waits.
BODY_SECONDS: Final = 60.0
#: What bodies of callers that are not verified yet may take together.
UNVERIFIED_BYTES: Final = 2 << 30


class Gate:
    """Lets in what the miner signed.

    Args:
        now: wall clock, Unix seconds.
    """

    def __init__(self, verifier: ManagementVerifier, now: Callable[[], float], metrics: MonitorMetrics) -> None:
        self._verifier = verifier
        self._now = now
        self._metrics = metrics
        self._unverified_bytes = 0

    def precheck(self, request: Request) -> Credentials:
        """Refuse what the headers alone condemn.

        Raises:
            HTTPException: 401.
        """
        credentials = self._verifier.precheck(request.headers, self._now())
        if isinstance(credentials, Refusal):
            raise self._refused(credentials)
        return credentials

    def check(self, request: Request, credentials: Credentials, digest: str, purpose: Purpose) -> None:
        """Refuse what is not signed over this body (POST, PUT, PATCH) or for this purpose (others).

        Raises:
            HTTPException: 401.
        """
        query = request.url.query
        target = f"{request.url.path}?{query}" if query else request.url.path
        has_body = request.method in _BODY_METHODS
        refusal = self._verifier.check(
            credentials,
            SignedRequest(request.method, target),
            digest if has_body else purpose.value,
            digest if has_body else "",
            self._now(),
        )
        if refusal is not None:
            raise self._refused(refusal)

    async def admit(self, request: Request, purpose: Purpose = Purpose.MANAGEMENT) -> None:
        """Verify a request without a body.

        Raises:
            HTTPException: 401.
        """
        self.check(request, self.precheck(request), "", purpose)

    async def receive(self, request: Request, spool: Spool, limit_bytes: int) -> None:
        """Verify a request with a body and receive it.

        Raises:
            HTTPException: 401; 413 for a body over the limit; 408 for one that does not arrive; 503 while others that
                arrive take too much.
        """
        credentials = self.precheck(request)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                await fill(spool, self._counted(request), limit_bytes)
        except BodyTooLargeError as error:
            raise HTTPException(413, str(error)) from None
        except TimeoutError:
            raise HTTPException(408, f"the body did not arrive within {BODY_SECONDS:.0f} s") from None
        finally:
            self._unverified_bytes -= spool.size
        self.check(request, credentials, spool.digest, Purpose.MANAGEMENT)

    async def _counted(self, request: Request) -> AsyncIterator[bytes]:
        async for chunk in request.stream():
            if self._unverified_bytes + len(chunk) > UNVERIFIED_BYTES:
                raise HTTPException(503, "too much arrives at once; send it again later")
            self._unverified_bytes += len(chunk)
            yield chunk

    def _refused(self, refusal: Refusal) -> HTTPException:
        self._metrics.refusals.labels(refusal.value).inc()
        return HTTPException(401, REFUSAL_DETAIL)


def json_response(content: object, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(content), status, media_type="application/json")

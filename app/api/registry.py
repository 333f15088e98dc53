"""Registry authorisation for the proxy on bare nodes (spec: protocol 15.3; DESIGN D17).

It signs, so it answers only to a node that we know: right address, right token, a pull and nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.api.errors import UnauthorisedError
from app.api.openapi import described
from app.api.routing import RawRoute, services_of
from app.api.services import Services
from app.protocol.registry_proxy import AUTH_PATH, METHOD_HEADER, TOKEN_HEADER, URI_HEADER
from app.protocol.signing import Purpose, nonce_v1

NODES_SQL: Final = """SELECT s.ip_address, p.registry_token_sha256 FROM node_profiles p
    JOIN servers s USING (server_id) WHERE p.registry_token_sha256 IS NOT NULL AND s.ip_address IS NOT NULL"""
#: How long a new or changed token may take to count.
CACHE_SECONDS: Final = 5.0
BODY: Final = b'{"authenticated":true}'

router = APIRouter(tags=["registry"], route_class=RawRoute)


@dataclass
class TokenCache:
    """Digests of registry tokens by node address, read at most every five seconds.

    By a clock that never goes back: a wall clock that is set back would keep a revoked token alive.
    """

    digests: dict[str, set[str]] = field(default_factory=dict)
    read_at: float = float("-inf")
    monotonic: Callable[[], float] = time.monotonic

    async def of(self, services: Services, address: str) -> set[str]:
        """The digests that count for one address."""
        asked_at = self.monotonic()
        if asked_at - self.read_at > CACHE_SECONDS:
            rows = await services.reader.rows(NODES_SQL)
            found: dict[str, set[str]] = {}
            for address_of_node, digest in rows:
                found.setdefault(str(address_of_node), set()).add(str(digest))
            self.digests, self.read_at = found, asked_at
        return self.digests.get(address, set())


@router.get(AUTH_PATH, responses=described(None), summary="Headers for one pull, for a known node")
async def authorise_pull(request: Request) -> Response:
    services = services_of(request)
    headers = request.headers
    if headers.get(METHOD_HEADER, "GET") not in ("GET", "HEAD") or not headers.get(URI_HEADER, "/v2/").startswith(
        "/v2/"
    ):
        raise UnauthorisedError("only pulls are signed")
    token = headers.get(TOKEN_HEADER, "")
    cache: TokenCache = request.app.state.registry_tokens
    known = await cache.of(services, peer_address(request))
    digest = hashlib.sha256(token.encode()).hexdigest()
    if not any([hmac.compare_digest(digest, expected) for expected in known]):  # noqa: C419 - every one is compared
        raise UnauthorisedError("no node of ours at this address has this token")
    signature = services.settings.signer.hotkey_headers(nonce_v1(services.clock()), purpose=Purpose.REGISTRY)
    return Response(BODY, headers=signature, media_type="application/json")


def peer_address(request: Request) -> str:
    """The caller's address; forwarded ones count only from proxies that settings trust."""
    peer = request.client.host if request.client is not None else ""
    return forwarded_for(
        peer, request.headers.getlist("X-Forwarded-For"), services_of(request).settings.trusted_proxies
    )


def forwarded_for(peer: str, lines: Sequence[str], trusted: frozenset[str]) -> str:
    """Who asked, by the rule of trusted hops: from the nearest hop on, the first that is not a trusted proxy.

    Each proxy appends the address that it saw, to the last line or as a line of its own: all lines count, in their
    order, and whatever stands before an address of a stranger is that stranger's own story. Empty where a trusted proxy
    passed on something that is no address, or every hop is a proxy: nobody is at such an address.
    """
    if peer not in trusted:
        return peer
    hops = [hop.strip() for line in lines for hop in line.split(",")]
    if not hops:
        return peer
    for hop in reversed(hops):
        try:
            address = str(ip_address(hop))
        except ValueError:
            return ""
        if address not in trusted:
            return address
    return ""

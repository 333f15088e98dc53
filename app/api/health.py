"""Health: alive, ready, and who holds the validators' feeds. No signature, no secret."""

from __future__ import annotations

import asyncio
import os
from typing import Final

import asyncpg
from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response

from app.api.errors import json_response
from app.api.openapi import ERROR
from app.api.routing import RawRoute, services_of
from app.api.services import Services

PONG: Final = b'{"message":"pong"}'
CHECK_SECONDS: Final = 2.0
UNSIGNED: Final = frozenset({"/ping", "/health", "/ready", "/metrics", "/registry/auth"})

router = APIRouter(tags=["health"], route_class=RawRoute)


@router.get("/ping", summary="Alive")
async def ping(_: Request) -> Response:
    return Response(PONG, media_type="application/json")


@router.get("/health", summary="Alive, and whether this process leads")
async def health(request: Request) -> Response:
    link = services_of(request).link
    feeds = link.ready if link is not None else {}
    return json_response({"status": "healthy", "leader": link is not None, "feeds": feeds})


@router.get(
    "/ready",
    summary="Whether requests can be served",
    responses={503: {"description": "Something is away", "content": {"application/json": {"schema": ERROR}}}},
)
async def ready(request: Request) -> Response:
    services = services_of(request)
    database, redis = await asyncio.gather(_database(services), _redis(services))
    away = [name for name, is_up in (("database", database), ("redis", redis)) if not is_up]
    if away or not services.is_prepared:
        return json_response({"detail": f"away: {away or ['schema']}", "reason": (away or ["schema"])[0]}, 503)
    return json_response({"status": "ready"})


@router.get("/metrics", summary="Prometheus metrics of all workers")
def metrics(_: Request) -> Response:
    return Response(generate_latest(_workers()), media_type=CONTENT_TYPE_LATEST)


def _workers() -> CollectorRegistry:
    """What all workers counted, dead ones included; where there are none, this process alone."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # ships no types
    return registry


async def _database(services: Services) -> bool:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await services.reader.text("SELECT '1'") == b"1"
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False


async def _redis(services: Services) -> bool:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return bool(await services.redis.ping())
    except (RedisError, OSError, TimeoutError):
        return False

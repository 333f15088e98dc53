"""The dashboard's reads (spec: agent-monitor 7.2): signed, and without the values of environment variables.

Pod specs carry launch tokens in their environment; no reader of this API needs them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.observe.api.requests import Gate
from app.observe.readings import ClusterReading, ClusterState
from app.observe.view import RedisFleetView
from app.protocol.channels import ResourceType

REDACTED: Final = "<redacted>"
_SAMPLE: Final = 5


@dataclass(frozen=True)
class DashboardRoutes:
    """The routes over one view."""

    view: RedisFleetView
    gate: Gate

    def routes(self) -> list[Route]:
        """For the application."""
        base = "/api/v1/monitoring"
        return [
            Route(f"{base}/clusters", self.clusters),
            Route(f"{base}/clusters/details", self.details),
            Route(f"{base}/clusters/resources", self.resources),
            Route(f"{base}/overview", self.overview),
        ]

    async def clusters(self, request: Request) -> Response:
        """Every cluster with its health and counts."""
        await self.gate.admit(request)
        return _json([summary(reading) for reading in await self.view.read_fleet()])

    async def details(self, request: Request) -> Response:
        """Clusters with their objects and a few of each kind as a sample."""
        await self.gate.admit(request)
        details = []
        for reading in await self._readings(request.query_params.get("cluster_name")):
            resources = await self._bodies(reading.cluster, tuple(ResourceType))
            samples = [
                {"resource_type": kind.value, "count": len(items), "sample_data": items[:_SAMPLE]}
                for kind, items in resources.items()
            ]
            head = {key: value for key, value in summary(reading).items() if not key.endswith(("counts", "resources"))}
            details.append({**head, "resources": _plural(resources), "resource_summary": samples})
        return _json({"clusters": details})

    async def resources(self, request: Request) -> Response:
        """Clusters' objects, of one kind or all."""
        await self.gate.admit(request)
        kinds = _kinds(request.query_params.get("resource_type"))
        clusters = []
        for reading in await self._readings(request.query_params.get("cluster_name")):
            found = await self._bodies(reading.cluster, kinds)
            count = sum(len(items) for items in found.values())
            clusters.append({"cluster_name": reading.cluster, "resources": _plural(found), "count": count})
        return _json({"clusters": clusters})

    async def overview(self, request: Request) -> Response:
        """Health of the fleet in numbers."""
        await self.gate.admit(request)
        readings = await self.view.read_fleet()
        total = {kind.value: sum(len(reading.of(kind)) for reading in readings) for kind in ResourceType}
        return _json(
            {
                "health_summary": health_summary([reading.health.state for reading in readings]),
                "total_resources": total,
                "cluster_overviews": [summary(reading) for reading in readings],
                "last_updated": datetime.now(UTC),
            }
        )

    async def _readings(self, name: str | None) -> tuple[ClusterReading, ...]:
        if not name:
            return await self.view.read_fleet()
        reading = await self.view.read_cluster(name)
        if reading.health.state is ClusterState.ABSENT:
            raise HTTPException(404, f"Cluster {name} is not tracked.")
        return (reading,)

    async def _bodies(self, cluster: str, kinds: Sequence[ResourceType]) -> dict[ResourceType, list[object]]:
        found: dict[ResourceType, list[object]] = {}
        for kind in kinds:
            bodies = await self.view.bodies(cluster, kind)
            found[kind] = await asyncio.to_thread(_readable, [body for _, body in sorted(bodies.items())])
        return found


def summary(reading: ClusterReading) -> dict[str, object]:
    """One cluster as the public monitor describes it, with generation and age beside."""
    counts = {kind.value: len(reading.of(kind)) for kind in ResourceType}
    return {
        "cluster_name": reading.cluster,
        "state": reading.health.state.value,
        "last_heartbeat": reading.health.received_at,
        "error_message": reading.health.message,
        "is_healthy": reading.health.is_healthy,
        "generation": reading.generation,
        "age_seconds": reading.age_seconds,
        "unconfirmed": sum(item.is_unconfirmed for item in reading.objects),
        "resource_counts": counts,
        "total_resources": sum(counts.values()),
    }


def health_summary(states: Sequence[ClusterState]) -> dict[str, int]:
    """How many clusters are in which state; healthy counts only active ones, as the public monitor does."""
    named = {
        "healthy_clusters": ClusterState.ACTIVE,
        "unhealthy_clusters": ClusterState.UNHEALTHY,
        "starting_clusters": ClusterState.STARTING,
        "error_clusters": ClusterState.ERROR,
    }
    counts = {name: states.count(state) for name, state in named.items()}
    offline = len(states) - sum(counts.values())
    return {"total_clusters": len(states), **counts, "offline_clusters": offline}


def redact(value: Any) -> Any:
    """The same JSON with every value of an `env` list replaced."""
    if isinstance(value, list):
        return [redact(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _redact_env(item) if key == "env" else redact(item) for key, item in value.items()}


def _redact_env(env: Any) -> Any:
    if not isinstance(env, list):
        return REDACTED
    return [{**item, "value": REDACTED} if isinstance(item, dict) and "value" in item else item for item in env]


def _readable(bodies: list[bytes]) -> list[object]:
    return [redact(orjson.loads(body)) for body in bodies]


def _plural(resources: dict[ResourceType, list[object]]) -> dict[str, list[object]]:
    names = (ResourceType.DEPLOYMENT, ResourceType.SERVICE, ResourceType.POD, ResourceType.NODE, ResourceType.JOB)
    return {f"{kind.value}s": resources.get(kind, []) for kind in names}


def _kinds(text: str | None) -> tuple[ResourceType, ...]:
    if text in {None, "", "*"}:
        return tuple(ResourceType)
    try:
        return (ResourceType(text),)
    except ValueError:
        wanted = ", ".join(ResourceType)
        raise HTTPException(400, f"resource_type is {text!r}, wanted * or one of {wanted}") from None


def _json(content: object) -> Response:
    return Response(orjson.dumps(content, option=orjson.OPT_UTC_Z), media_type="application/json")

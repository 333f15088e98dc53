"""The calls that agents make: POST, PUT, PATCH, DELETE of a cluster and its heartbeat (spec: agent-monitor 6, 7.1).

Success is always 200, because public agents accept nothing else; their 404 means "forget the control plane", so it is
given for one reason only: the inventory was read and does not hold the server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import msgspec
import structlog
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.observe.api.requests import EVENT_BODY_BYTES, SMALL_BODY_BYTES, SNAPSHOT_BODY_BYTES, Gate, json_response
from app.observe.digesting import DigestCheck
from app.observe.intake import Spool
from app.observe.inventory import InventoryUnavailableError
from app.observe.metrics import MonitorMetrics
from app.observe.monitor import Heartbeat, Monitor, Outcome
from app.observe.planning import Source
from app.observe.readings import ClusterState, ObservationUnavailableError
from app.observe.store import NotTrackedError, SyncMode
from app.protocol.digests import decode_digests
from app.protocol.monitoring import (
    AGENT_VERSION_HEADER,
    DIGEST_HEADER,
    FEATURES_HEADER,
    MONITOR_FEATURES,
    RESYNC_HEADER,
)
from app.protocol.objects import MalformedObjectError, ObjectEvent, parse_event, parse_events
from app.protocol.signing import Purpose

_CONCURRENT_SNAPSHOTS: Final = 5
_log = structlog.get_logger(__name__)


class _HeartbeatBody(msgspec.Struct):
    state: ClusterState
    timestamp: str | None = None


_heartbeat_decoder: Final = msgspec.json.Decoder(_HeartbeatBody)


@dataclass
class ClusterRoutes:
    """The routes over one monitor. `failed` collects clusters that lost an event: they need a complete list."""

    monitor: Monitor
    gate: Gate
    metrics: MonitorMetrics
    digests: DigestCheck
    failed: dict[str, str] = field(default_factory=dict)
    _snapshots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_CONCURRENT_SNAPSHOTS))

    def routes(self) -> list[Route]:
        """For the application."""
        base = "/api/v1/clusters/{cluster}"
        return [
            Route(base, self._measured("register", self.register), methods=["POST"]),
            Route(base, self._measured("unregister", self.unregister), methods=["DELETE"]),
            Route(f"{base}/resources", self._measured("replace", self.replace), methods=["PUT"]),
            Route(f"{base}/resources", self._measured("event", self.event), methods=["PATCH"]),
            Route(f"{base}/events", self._measured("events", self.events), methods=["POST"]),
            Route(f"{base}/health", self._measured("heartbeat", self.heartbeat), methods=["PUT"]),
        ]

    async def register(self, request: Request) -> Response:
        """POST: a snapshot that makes the cluster tracked. An existing one is replaced, not refused."""
        return await self._snapshot(request, SyncMode.REGISTER)

    async def replace(self, request: Request) -> Response:
        """PUT: a snapshot of a tracked cluster. An unknown one of the inventory is registered."""
        return await self._snapshot(request, SyncMode.RESYNC)

    async def event(self, request: Request) -> Response:
        """PATCH: one event."""
        with Spool() as spool:
            await self.gate.receive(request, spool, EVENT_BODY_BYTES)
            return await self._apply(request.path_params["cluster"], lambda: [parse_event(spool.read())])

    async def events(self, request: Request) -> Response:
        """POST of several events in order; our agents use it where the monitor says that it can."""
        with Spool() as spool:
            await self.gate.receive(request, spool, EVENT_BODY_BYTES)
            return await self._apply(request.path_params["cluster"], lambda: parse_events(spool.read()))

    async def heartbeat(self, request: Request) -> Response:
        """PUT health. 409 asks the agent for a complete list; the next heartbeat after one is always accepted.

        An agent of ours that says what it has told may be asked for the lists of some kinds beside.
        """
        cluster = request.path_params["cluster"]
        with Spool() as spool:
            await self.gate.receive(request, spool, SMALL_BODY_BYTES)
            beat = _parse_heartbeat(spool.read())
        outcome = await self.monitor.heartbeat(cluster, beat)
        if outcome is Outcome.NOT_TRACKED:
            raise HTTPException(404, f"Cluster {cluster} is not tracked.")
        if outcome in {Outcome.UNHEALTHY, Outcome.RESYNC}:
            self.metrics.resyncs.labels(outcome.value).inc()
            raise HTTPException(409, f"Cluster {cluster} is in unhealthy state; send its resources again.")
        response = json_response({"status": "success", "cluster_name": cluster})
        told = decode_digests(request.headers.get(DIGEST_HEADER, ""))
        wanted = await self.digests.lists_wanted(cluster, told)
        if wanted:
            _log.warning("an agent knows something else", cluster=cluster, kinds=list(wanted))
            response.headers[RESYNC_HEADER] = ",".join(wanted)
        return response

    async def unregister(self, request: Request) -> Response:
        """DELETE: the cluster goes after a grace period, which a new snapshot ends."""
        await self.gate.admit(request, Purpose.MONITORING)
        cluster = request.path_params["cluster"]
        await self.monitor.unregister(cluster)
        return json_response({"message": f"Cluster {cluster} unregistered successfully", "cluster_name": cluster})

    async def _snapshot(self, request: Request, mode: SyncMode) -> Response:
        cluster = request.path_params["cluster"]
        agent = request.headers.get(AGENT_VERSION_HEADER, "")
        source = Source.OWN_AGENT if agent.startswith("headframe/") else Source.FOREIGN_AGENT
        with Spool() as spool:
            await self.gate.receive(request, spool, SNAPSHOT_BODY_BYTES)
            try:
                async with self._snapshots:  # only now: a sender that lost its power must take nobody's turn
                    outcome, result = await self.monitor.take_snapshot(
                        cluster, spool, mode=mode, source=source, agent=agent
                    )
            except MalformedObjectError as error:
                raise HTTPException(422, str(error)) from None
            except NotTrackedError:
                raise HTTPException(410, f"Cluster {cluster} is not tracked.") from None
        if outcome is Outcome.NOT_IN_INVENTORY:
            raise HTTPException(404, "Server does not exist in inventory.")
        if outcome is Outcome.ALREADY_TRACKED:
            raise HTTPException(409, f"Cluster {cluster} is already tracked.")
        if outcome is Outcome.NOT_TRACKED:
            raise HTTPException(410, f"Cluster {cluster} is not tracked.")
        if result is not None:
            self.metrics.skipped.labels(cluster).inc(result.skipped)
            self.metrics.held.labels(cluster).set(result.held)
            if result.held:
                self.failed[cluster] = "held deletions"
            _log.info("took a snapshot", cluster=cluster, mode=mode.value, applied=result.applied, held=result.held)
        return Response(b"null", media_type="application/json", headers={FEATURES_HEADER: MONITOR_FEATURES})

    async def _apply(self, cluster: str, parse: Callable[[], list[ObjectEvent]]) -> Response:
        try:
            events = parse()
        except MalformedObjectError as error:
            self.failed[cluster] = "malformed event"
            raise HTTPException(422, str(error)) from None
        try:
            applied = await self.monitor.take_events(cluster, events)
        except NotTrackedError:
            raise HTTPException(404, f"Cluster {cluster} is not tracked.") from None
        except ObservationUnavailableError:
            self.failed[cluster] = "lost event"
            raise
        self.metrics.ignored.inc(len(events) - applied)
        return json_response({"status": "success", "cluster_name": cluster})

    def _measured(
        self, call: str, handler: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        seconds = self.metrics.seconds.labels(call)

        async def measured(request: Request) -> Response:
            started = time.perf_counter()
            status = 500
            try:
                response = await handler(request)
            except HTTPException as error:
                status = error.status_code
                raise
            except (RedisError, InventoryUnavailableError, ObservationUnavailableError, TimeoutError) as error:
                _log.warning("could not serve an agent", call=call, error=str(error) or type(error).__name__)
                raise HTTPException(500, "The monitor cannot reach its stores now.") from error
            else:
                status = response.status_code
                return response
            finally:
                self.metrics.requests.labels(call, str(status)).inc()
                seconds.observe(time.perf_counter() - started)

        return measured


def _parse_heartbeat(body: bytes) -> Heartbeat:
    try:
        parsed = _heartbeat_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise HTTPException(422, str(error)) from None
    if parsed.state is ClusterState.ABSENT:
        raise HTTPException(422, "state is 'absent', wanted one of the states that are reported")
    return Heartbeat(parsed.state, parse_time(parsed.timestamp))


def parse_time(text: str | None) -> datetime | None:
    """A time as agents write it, with or without fraction or zone; None for anything that is no time."""
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment

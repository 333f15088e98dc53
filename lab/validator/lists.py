"""Lists and single objects that miners read (spec: protocol 8.1-8.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import orjson
from aiohttp import web

from app.protocol.gpus import GPU_MODELS
from app.protocol.signing import Purpose
from lab.validator.state import Json, State
from lab.validator.web import CUT_AFTER, HOTKEY, SIMULATED_HEADER, STATE, Handler, Problem, reply, signed


def routes() -> list[web.RouteDef]:
    """The routes of this file."""
    return [
        web.get("/miner/chutes/", signed(Purpose.MINER, _stream(lambda state, _: state.chutes.values()))),
        web.get("/miner/images/", signed(Purpose.MINER, _stream(lambda state, _: state.images.values()))),
        web.get("/miner/nodes/", signed(Purpose.MINER, _stream(_own("nodes")))),
        web.get("/miner/instances/", signed(Purpose.MINER, _stream(_own("instances")))),
        web.get("/miner/metrics/", signed(Purpose.MINER, _stream(_metrics))),
        web.get("/miner/active_instances/", signed(Purpose.MINER, _active_instances)),
        web.get("/miner/servers/", signed(Purpose.MINER, _servers)),
        web.get("/miner/inventory", signed(Purpose.MINER, _inventory)),
        web.get("/miner/jobs/", signed(Purpose.MINER, _jobs)),
        web.get("/miner/chutes/{chute_id}/{version}", signed(Purpose.MINER, _chute)),
        web.get("/chutes/utilization", _utilization),
        web.get("/chutes/rolling_updates", _rolling_updates),
        web.get("/nodes/supported", _supported),
        web.get("/bounties/", _bounties),
    ]


def _own(kind: str) -> Callable[[State, str], Iterable[Json]]:
    def found(state: State, hotkey: str) -> Iterable[Json]:
        items: dict[str, Json] = getattr(state, kind)
        return [item for item in items.values() if item["miner_hotkey"] == hotkey]

    return found


def _metrics(state: State, _: str) -> Iterable[Json]:
    return [{"chute_id": chute_id, "compute_multiplier": 1.0, "total_invocations": 0} for chute_id in state.chutes]


def _stream(select: Callable[[State, str], Iterable[Json]]) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        items = list(select(request.app[STATE], request[HOTKEY]))
        response = web.StreamResponse(headers={SIMULATED_HEADER: "true", "Content-Type": "text/event-stream"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        cut_after = request.get(CUT_AFTER)
        if cut_after is not None and cut_after < 0:
            await response.write_eof()
            return response
        for index, item in enumerate(items):
            line = b"data: " + orjson.dumps(item) + b"\n\n"
            if cut_after is not None and index >= cut_after:
                await response.write(line[: len(line) // 2])
                if request.transport is not None:
                    request.transport.close()
                return response
            await response.write(line)
        if not items and request.query.get("explicit_null", "").lower() in ("true", "1"):
            await response.write(b"data: NO_ITEMS\n")
        await response.write_eof()
        return response

    return handler


async def _active_instances(request: web.Request) -> web.Response:
    fields = ("instance_id", "miner_hotkey", "chute_id", "activated_at")
    return reply(
        [
            {name: item[name] for name in fields} | {"compute_multiplier": 1.0}
            for item in request.app[STATE].instances.values()
            if item["active"]
        ]
    )


async def _servers(request: web.Request) -> web.Response:
    state, hotkey = request.app[STATE], request[HOTKEY]
    shown = ("server_id", "name", "ip", "is_tee", "version", "maintenance_pending", "created_at", "updated_at")
    gpu = ("uuid", "gpu_identifier", "device_index", "verified_at", "verification_error")
    return reply(
        {
            "servers": [
                {name: server[name] for name in shown}
                | {
                    "gpus": [
                        {name: node[name] for name in gpu}
                        for node in state.nodes.values()
                        if node["server_id"] == server["server_id"]
                    ]
                }
                for server in state.servers.values()
                if server["miner_hotkey"] == hotkey
            ]
        }
    )


async def _inventory(request: web.Request) -> web.Response:
    state, hotkey = request.app[STATE], request[HOTKEY]
    rows = []
    for node in state.nodes.values():
        if node["miner_hotkey"] != hotkey:
            continue
        instance = next((i for i in state.instances.values() if node["uuid"] in _uuids(i)), None)
        rows.append(
            {
                "gpu_id": node["uuid"],
                "last_verified_at": node["verified_at"],
                "verification_error": node["verification_error"],
                "active": bool(instance and instance["active"]),
                "chute_id": instance["chute_id"] if instance else None,
                "chute_name": state.chutes.get(str(instance["chute_id"]), {}).get("name") if instance else None,
            }
        )
    return reply(rows)


def _uuids(instance: Json) -> list[str]:
    found = instance.get("gpus")
    return found if isinstance(found, list) else []


async def _jobs(request: web.Request) -> web.Response:
    return reply([{"job_id": job.job_id, "chute_id": job.chute_id} for job in request.app[STATE].jobs.values()])


async def _chute(request: web.Request) -> web.Response:
    chute = request.app[STATE].chutes.get(request.match_info["chute_id"])
    if chute is None or chute["version"] != request.match_info["version"]:
        raise Problem(404, "Chute not found")
    return reply(chute)


async def _utilization(request: web.Request) -> web.Response:
    state = request.app[STATE]
    return reply([state.utilization_of(chute_id) for chute_id in state.chutes])


async def _rolling_updates(request: web.Request) -> web.Response:
    return reply(list(request.app[STATE].rolling_updates.values()))


async def _supported(_: web.Request) -> web.Response:
    return reply(
        {
            ref: {"memory": model.memory_gb, "hourly_rate": model.rate_usd_per_hour}
            for ref, model in GPU_MODELS.items()
            if model.enabled
        }
    )


async def _bounties(request: web.Request) -> web.Response:
    return reply([{"chute_id": chute_id, "bounty": value} for chute_id, value in request.app[STATE].bounties.items()])

"""Registration of servers and GPUs, and maintenance windows (spec: protocol 8.5, 8.6, 8.10, 8.13).

What is looked at is what a description can show. No quote is ever checked here, and GPUs of bare nodes only with a
`prover`: `verification` in every record says which it was.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from app.protocol.events import Reason
from app.protocol.gpus import GPU_MODELS
from app.protocol.signing import Purpose
from lab.validator.feed import FeedServer
from lab.validator.proving import verification_of
from lab.validator.state import Json, State
from lab.validator.web import HOTKEY, STATE, Problem, read_json, reply, signed

FEED: Final = web.AppKey("feed", FeedServer)
#: Asks a node to prove its GPUs, for a miner's hotkey; returns an error text or None.
Prover = Callable[[str, list[Json]], Awaitable[str | None]]
PROVER: Final = web.AppKey[Prover | None]("prover")
TASKS: Final = web.AppKey("tasks", set[asyncio.Task[None]])


def routes() -> list[web.RouteDef]:
    """The routes of this file."""
    return [
        web.post("/servers/", signed(None, _register)),
        web.get("/servers/maintenance/policy", signed(Purpose.TEE, _policy)),
        web.get("/servers/{server}/maintenance/preflight", signed(Purpose.TEE, _preflight)),
        web.put("/servers/{server}/maintenance", signed(Purpose.TEE, _maintain)),
        web.get("/servers/{server}", signed(Purpose.TEE, _show)),
        web.patch("/servers/{server}", signed(Purpose.TEE, _rename)),
        web.delete("/servers/{server}", signed(Purpose.TEE, _delete)),
        web.post("/nodes/", signed(None, _register_nodes)),
        web.get("/nodes/verification_status", signed(Purpose.GRAVAL, _status)),
        web.delete("/nodes/{uuid}", signed(Purpose.NODES, _delete_node)),
    ]


def _gpus_of(body: Json, key: str) -> list[Json]:
    gpus = body.get(key)
    if not isinstance(gpus, list) or not gpus or not all(isinstance(gpu, dict) for gpu in gpus):
        raise Problem(422, f"{key} is not a list of objects")
    if len(gpus) > 10:
        raise Problem(400, "at most 10 GPUs per server")
    return gpus


def _check_gpus(state: State, gpus: list[Json]) -> None:
    for index, gpu in enumerate(gpus):
        for name in ("uuid", "name", "memory", "clock_rate", "device_index", "gpu_identifier"):
            if gpu.get(name) is None:
                raise Problem(422, f"gpus.{index}.{name} is missing")
        model = GPU_MODELS.get(str(gpu["gpu_identifier"]))
        if model is None or not model.enabled:
            raise Problem(400, f"unknown GPU {gpu['gpu_identifier']}")
        if not model.accepts_memory(int(str(gpu["memory"]))):
            raise Problem(400, f"memory of {gpu['uuid']} does not fit {model.short_ref}")
        if gpu["uuid"] in state.nodes:
            raise Problem(409, f"GPU {gpu['uuid']} is already in inventory")


def _add_nodes(state: State, hotkey: str, server_id: str, gpus: list[Json], *, verified: bool) -> None:
    for gpu in gpus:
        state.nodes[str(gpu["uuid"])] = gpu | {
            "miner_hotkey": hotkey, "server_id": server_id, "verification_error": None, "created_at": state.now_iso(),
            "verified_at": state.now_iso() if verified else None, "verification": "SIMULATED",
        }  # fmt: skip


async def _register(request: web.Request) -> web.Response:
    state, hotkey, body = request.app[STATE], request[HOTKEY], await read_json(request)
    gpus = _gpus_of(body, "gpus")
    if any(server["ip"] == body.get("host") for server in state.servers.values()):
        raise Problem(409, "this address is already used by a server")
    _check_gpus(state, gpus)
    server_id = str(body.get("id") or uuid.uuid4())
    state.servers[server_id] = {
        "server_id": server_id, "name": body.get("name"), "ip": body.get("host"), "is_tee": True, "version": "1.4.0",
        "maintenance_pending": False, "created_at": state.now_iso(), "updated_at": state.now_iso(),
        "miner_hotkey": hotkey, "verification": "SIMULATED",
    }  # fmt: skip
    _add_nodes(state, hotkey, server_id, gpus, verified=True)
    for gpu in gpus:
        data = {"gpu_id": gpu["uuid"], "miner_hotkey": hotkey}
        await request.app[FEED].broadcast(Reason.GPU_VERIFIED.value, data, [hotkey])
    return reply({"message": "SIMULATED: registered without attestation"}, 201)


def _find(request: web.Request) -> Json:
    state, wanted = request.app[STATE], request.match_info["server"]
    for server in state.servers.values():
        if server["miner_hotkey"] == request[HOTKEY] and wanted in (server["server_id"], server["name"]):
            return server
    raise Problem(404, f"no server {wanted}")


async def _show(request: web.Request) -> web.Response:
    return reply(_find(request))


async def _rename(request: web.Request) -> web.Response:
    server = _find(request)
    name = request.query.get("server_name")
    if not name:
        raise Problem(422, "server_name is missing")
    if any(other["name"] == name and other is not server for other in request.app[STATE].servers.values()):
        raise Problem(409, "the name is in use")
    server["name"] = name
    return reply({key: server[key] for key in ("name", "ip", "created_at", "updated_at")})


async def _delete(request: web.Request) -> web.Response:
    state, server = request.app[STATE], _find(request)
    del state.servers[str(server["server_id"])]
    state.nodes = {key: node for key, node in state.nodes.items() if node["server_id"] != server["server_id"]}
    return reply({"name": server["name"], "message": "deleted"})


async def _policy(request: web.Request) -> web.Response:
    servers = [s for s in request.app[STATE].servers.values() if s["miner_hotkey"] == request[HOTKEY]]
    return reply(
        {
            "active_window": {
                "id": "simulated", "target_measurement_version": "1.5.0", "max_concurrent_per_miner": 1,
                "upgrade_window_start": request.app[STATE].now_iso(), "upgrade_window_end": None,
            },
            "current_slots": sum(1 for s in servers if s["maintenance_pending"]),
            "servers": [
                {
                    "server_id": s["server_id"], "name": s["name"], "version": s["version"], "needs_upgrade": True,
                    "in_maintenance": s["maintenance_pending"],
                }
                for s in servers
            ],
        }
    )  # fmt: skip


def _eligibility(request: web.Request) -> Json:
    server, state = _find(request), request.app[STATE]
    busy = sum(1 for s in state.servers.values() if s["maintenance_pending"] and s["miner_hotkey"] == request[HOTKEY])
    reasons: list[Json] = []
    if server["maintenance_pending"]:
        reasons.append({"reason": "maintenance_pending"})
    elif busy >= 1:
        reasons.append({"reason": "concurrency_cap", "current_slots": busy, "limit": 1})
    return {
        "eligible": not reasons, "denial_reasons": reasons, "blocking_chute_ids": [], "current_slots": busy, "limit": 1,
    }  # fmt: skip


async def _preflight(request: web.Request) -> web.Response:
    return reply(_eligibility(request))


async def _maintain(request: web.Request) -> web.Response:
    state, server, verdict = request.app[STATE], _find(request), _eligibility(request)
    if not verdict["eligible"]:
        raise Problem(409, verdict)
    server["maintenance_pending"] = True
    purged = [i for i in state.instances.values() if i.get("server_id") == server["server_id"]]
    for instance in purged:
        del state.instances[str(instance["instance_id"])]
        data = {key: instance[key] for key in ("instance_id", "chute_id", "config_id", "miner_hotkey")}
        await request.app[FEED].broadcast(Reason.INSTANCE_DELETED.value, data, [request[HOTKEY]])
    return reply(
        {
            "server_id": server["server_id"],
            "purged_instance_ids": [instance["instance_id"] for instance in purged],
            "window": {"id": "simulated"},
        }
    )


async def _register_nodes(request: web.Request) -> web.Response:
    state, hotkey, body = request.app[STATE], request[HOTKEY], await read_json(request)
    gpus = _gpus_of(body, "nodes")
    _check_gpus(state, gpus)
    seed = secrets.randbelow(2**63 - 2) + 1
    prover, task_id, server_id = request.app[PROVER], f"{hotkey}::{uuid.uuid4()}", str(body.get("server_id"))
    if state.has_bare_servers:
        state.servers.setdefault(server_id, _bare_server(state, hotkey, server_id, body, gpus))
    _add_nodes(state, hotkey, server_id, gpus, verified=prover is None)
    state.tasks[task_id] = {"status": "pending" if prover is not None else "verified"}
    if prover is not None:
        task = asyncio.create_task(_verify_nodes(request.app, prover, task_id, gpus))
        request.app[TASKS].add(task)
        task.add_done_callback(request.app[TASKS].discard)
    return reply({"nodes": [gpu | {"seed": seed} for gpu in gpus], "task_id": task_id}, 202)


def _bare_server(state: State, hotkey: str, server_id: str, body: Json, gpus: list[Json]) -> Json:
    return {
        "server_id": server_id, "name": body.get("server_name"), "ip": gpus[0].get("verification_host"),
        "is_tee": False, "version": None, "maintenance_pending": False, "created_at": state.now_iso(),
        "updated_at": state.now_iso(), "miner_hotkey": hotkey,
    }  # fmt: skip


async def _verify_nodes(app: web.Application, prover: Prover, task_id: str, gpus: list[Json]) -> None:
    """Beside the request, as validators do it: the miner asks how far it is."""
    state, hotkey = app[STATE], task_id.partition("::")[0]
    error = await prover(hotkey, gpus)
    state.tasks[task_id] = {"status": "failed", "error": error} if error else {"status": "verified"}
    for gpu in gpus:
        node = state.nodes.get(str(gpu["uuid"]))
        if node is None:
            continue
        node["verification_error"] = error
        if error is None:
            node |= {"verified_at": state.now_iso(), "verification": verification_of(node)}
            data = {"gpu_id": gpu["uuid"], "miner_hotkey": hotkey}
            await app[FEED].broadcast(Reason.GPU_VERIFIED.value, data, [hotkey])


async def _status(request: web.Request) -> web.Response:
    task_id = request.query.get("task_id", "")
    if not task_id.startswith(request[HOTKEY]):
        raise Problem(401, "not your task")
    found = request.app[STATE].tasks.get(task_id)
    if found is None:
        raise Problem(404, "no such task")
    return reply(found)


async def _delete_node(request: web.Request) -> web.Response:
    state, node_id = request.app[STATE], request.match_info["uuid"]
    node = state.nodes.get(node_id)
    if node is None or node["miner_hotkey"] != request[HOTKEY]:
        raise Problem(404, "no such node")
    del state.nodes[node_id]
    return reply({"node_id": node_id, "deleted": True})

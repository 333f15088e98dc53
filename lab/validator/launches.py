"""Launch configs, what pods do with them, instances and jobs (spec: protocol 8.7-8.9, 8.11, 8.12, 9)."""

from __future__ import annotations

import secrets
import uuid
from typing import Final

import orjson
from aiohttp import web

from app.protocol.events import Reason
from app.protocol.signing import Header, Purpose
from app.protocol.wire import version_tuple
from lab.validator.auth import Unauthorised, issue_token, read_token
from lab.validator.machines import FEED
from lab.validator.state import Config, Job, Json
from lab.validator.web import HOTKEY, STATE, Problem, read_json, reply, signed

JOB_RACERS: Final = 15


def routes() -> list[web.RouteDef]:
    """The routes of this file."""
    return [
        web.get("/instances/launch_config", signed(Purpose.LAUNCH, _launch_config)),
        web.get("/instances/nonce", _nonce),
        web.post("/instances/launch_config/{config_id}", _claim),
        web.put("/instances/launch_config/{config_id}", _verify),
        web.post("/instances/launch_config/{config_id}/{flow:tee|graval}", _claim),
        web.put("/instances/launch_config/{config_id}/{flow:tee|graval}", _verify),
        web.get("/instances/launch_config/{config_id}/activate", _activate),
        web.delete("/instances/{chute_id}/{instance_id}", signed(Purpose.INSTANCES, _delete_instance)),
        web.delete("/miner/jobs/{job_id}", signed(Purpose.MINER, _release_job)),
        web.get("/miner/instance_logs", _logs),
        web.post("/audit/miner_data", signed(None, _audit)),
    ]


async def _launch_config(request: web.Request) -> web.Response:
    state, hotkey = request.app[STATE], request[HOTKEY]
    chute = state.chutes.get(request.query.get("chute_id", ""))
    if chute is None:
        raise Problem(404, "Chute not found")
    chute_id = str(chute["chute_id"])
    if chute["disabled"]:
        raise Problem(423, "Chute is disabled")
    running = sum(1 for item in state.instances.values() if item["chute_id"] == chute_id)
    if running >= state.capacity.get(chute_id, 1 << 30):
        raise Problem(423, "Chute is at capacity")
    if version_tuple(str(chute["chutes_version"])) < (0, 3, 0):
        raise Problem(400, "Chute is too old for launch configs")
    job_id = request.query.get("job_id")
    if job_id is not None:
        _enter_race(state.jobs.get(job_id), hotkey)
    config = Config(str(uuid.uuid4()), chute_id, str(chute["version"]), hotkey, job_id, state.clock())
    state.configs[config.config_id] = config
    return reply({"token": issue_token(state, config, tee=bool(chute["tee"])), "config_id": config.config_id})


def _enter_race(job: Job | None, hotkey: str) -> None:
    if job is None:
        raise Problem(404, "Job not found")
    if hotkey in job.attempts:
        raise Problem(403, "Job was already attempted by this hotkey")
    if len(job.attempts) >= JOB_RACERS:
        raise Problem(423, "Job race is full")
    job.attempts.add(hotkey)


def _config(request: web.Request) -> Config:
    try:
        config_id = read_token(request.app[STATE], request.headers.get("Authorization", ""))
    except Unauthorised as error:
        raise Problem(401, str(error)) from error
    if config_id != request.match_info.get("config_id", config_id):
        raise Problem(401, "Token is for another launch config")
    config = request.app[STATE].configs.get(config_id)
    if config is None:
        raise Problem(404, "Launch config not found")
    return config


async def _nonce(_: web.Request) -> web.Response:
    return reply(secrets.token_hex(16))


async def _claim(request: web.Request) -> web.Response:
    state, config, body = request.app[STATE], _config(request), await read_json(request)
    if config.claimed_at is not None:
        raise Problem(409, "Launch config was already claimed")
    chute = state.chutes.get(config.chute_id)
    if chute is None or chute["version"] != config.version:
        raise Problem(404, "Chute version is gone")
    gpus = body.get("gpus")
    uuids = [str(gpu.get("uuid")) for gpu in gpus if isinstance(gpu, dict)] if isinstance(gpus, list) else []
    server_id = _check_gpus(request, config, uuids, str(body.get("host")))
    config.claimed_at = state.clock()
    instance_id = str(uuid.uuid4())
    state.instances[instance_id] = {
        "instance_id": instance_id, "chute_id": config.chute_id, "version": config.version,
        "config_id": config.config_id, "active": False, "verified": False, "last_verified_at": None,
        "created_at": state.now_iso(), "activated_at": None, "miner_hotkey": config.hotkey,
        "chutes_version": chute["chutes_version"], "region": "simulated", "verification_error": None,
        "gpus": uuids, "server_id": server_id, "host": body.get("host"), "port_mappings": body.get("port_mappings"),
        "job_id": config.job_id,
    }  # fmt: skip
    if config.job_id is not None and config.job_id in state.jobs:
        state.jobs[config.job_id].instance_id = instance_id
    await _tell(request, Reason.INSTANCE_CREATED, instance_id, gpu_count=len(uuids), gpu_model_name="SIMULATED")
    key = secrets.token_hex(16)
    if request.match_info.get("flow") == "tee" or chute["tee"]:
        return reply({"symmetric_key": key, "simulated": True})
    config.nonce = secrets.token_hex(8)
    return reply(
        {
            "seed": secrets.randbelow(2**63 - 2) + 1, "iterations": 1, "job_id": config.job_id, "simulated": True,
            "symmetric_key": {
                "ciphertext": None, "uuid": uuids[0],
                "response_plaintext": f"secret is {config.config_id} {config.nonce}",
            },
        }
    )  # fmt: skip


def _check_gpus(request: web.Request, config: Config, uuids: list[str], host: str) -> str | None:
    state = request.app[STATE]
    selector = state.chutes[config.chute_id]["node_selector"]
    wanted = selector["gpu_count"] if isinstance(selector, dict) else 1
    if len(uuids) != wanted:
        raise Problem(400, f"the chute takes {wanted} GPUs, the pod has {len(uuids)}")
    taken = {uuid_ for item in state.instances.values() for uuid_ in _list(item.get("gpus"))}
    server_id: str | None = None
    for gpu in uuids:
        node = state.nodes.get(gpu)
        if node is None or node["miner_hotkey"] != config.hotkey:
            raise Problem(400, f"GPU {gpu} is not in this miner's inventory")
        if node["verification_host"] != host:
            raise Problem(400, f"GPU {gpu} is registered at another host")
        if gpu in taken:
            raise Problem(409, f"GPU {gpu} is already assigned")
        server_id = str(node["server_id"])
    if server_id is not None and state.servers.get(server_id, {}).get("maintenance_pending"):
        raise Problem(409, "the server is in maintenance")
    return server_id


def _list(value: object) -> list[str]:
    return value if isinstance(value, list) else []


def _instance(request: web.Request, config: Config) -> Json:
    instance = request.app[STATE].instance_of(config.config_id)
    if instance is None:
        raise Problem(404, "Instance is gone")
    return instance


async def _verify(request: web.Request) -> web.Response:
    state, config = request.app[STATE], _config(request)
    instance, body = _instance(request, config), await read_json(request)
    if config.nonce is not None and body.get("response") != f"secret is {config.config_id} {config.nonce}":
        raise Problem(400, "the response is wrong")
    instance["verified"] = True
    instance["last_verified_at"] = state.now_iso()
    await _tell(request, Reason.INSTANCE_VERIFIED, str(instance["instance_id"]))
    return reply(
        {
            "chute_id": config.chute_id, "instance_id": instance["instance_id"],
            "verified_at": instance["last_verified_at"], "secrets": {}, "code": "", "fs_key": None,
            "activation_url": f"{state.api_url}/instances/launch_config/{config.config_id}/activate",
            "job_id": config.job_id, "simulated": True,
        }
    )  # fmt: skip


async def _activate(request: web.Request) -> web.Response:
    state, config = request.app[STATE], _config(request)
    instance = _instance(request, config)
    if not instance["verified"]:
        raise Problem(403, "Instance is not verified")
    instance["active"] = True
    instance["activated_at"] = state.now_iso()
    await _tell(request, Reason.INSTANCE_ACTIVATED, str(instance["instance_id"]))
    return reply({"ok": True})


async def _delete_instance(request: web.Request) -> web.Response:
    state, instance_id = request.app[STATE], request.match_info["instance_id"]
    instance = state.instances.get(instance_id)
    if instance is None or instance["miner_hotkey"] != request[HOTKEY]:
        raise Problem(404, "Instance not found")
    await _tell(request, Reason.INSTANCE_DELETED, instance_id)
    del state.instances[instance_id]
    return reply({"instance_id": instance_id, "deleted": True})


async def _release_job(request: web.Request) -> web.Response:
    state, job = request.app[STATE], request.app[STATE].jobs.get(request.match_info["job_id"])
    if job is None or request[HOTKEY] not in job.attempts:
        raise Problem(404, "Job not found")
    chute = state.chutes[job.chute_id]
    data = {"job_id": job.job_id, "chute_id": job.chute_id, "image_id": chute["image_id"], "exclude": [request[HOTKEY]]}
    await request.app[FEED].broadcast(Reason.JOB_CREATED.value, data)
    return reply(None)


async def _logs(request: web.Request) -> web.StreamResponse:
    _config(request)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for number in range(3):
        line = {"log": f"SIMULATED line {number}", "cursor": f"2026-01-01T00:00:0{number}"}
        await response.write(b"data: " + orjson.dumps(line) + b"\n\n")
    await response.write(b"data: .\n\ndata: plain SIMULATED text\n\n")
    await response.write_eof()
    return response


async def _audit(request: web.Request) -> web.Response:
    state, block = request.app[STATE], request.headers.get(Header.BLOCK.value, "")
    body = await read_json(request)
    if not block.isdigit() or not body.get("start_time") or not body.get("end_time"):
        raise Problem(400, "block, start_time or end_time is missing")
    key = (request[HOTKEY], block)
    if key in state.audits:
        raise Problem(500, "duplicate key")
    entry: Json = {
        "entry_id": str(uuid.uuid5(uuid.NAMESPACE_OID, ".".join(key))), "hotkey": key[0], "block": int(block),
        "path": "simulated", "start_time": body["start_time"], "end_time": body["end_time"],
        "created_at": state.now_iso(),
    }  # fmt: skip
    state.audits[key] = entry
    return reply(entry)


async def _tell(request: web.Request, reason: Reason, instance_id: str, **more: object) -> None:
    instance = request.app[STATE].instances[instance_id]
    data = {key: instance[key] for key in ("instance_id", "chute_id", "config_id", "miner_hotkey")}
    await request.app[FEED].broadcast(reason.value, data | more, [str(instance["miner_hotkey"])])

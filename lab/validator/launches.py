"""Launch configs, the end of instances, jobs, logs and audits (spec: protocol 8.7-8.9, 8.11, 8.12)."""

from __future__ import annotations

import uuid
from typing import Final

import orjson
from aiohttp import web

from app.protocol.events import Reason
from app.protocol.signing import Header, Purpose
from app.protocol.wire import version_tuple
from lab.validator.auth import issue_token
from lab.validator.machines import FEED
from lab.validator.pods import config_of, tell
from lab.validator.state import Config, Job, Json
from lab.validator.web import HOTKEY, STATE, Problem, read_json, reply, signed

JOB_RACERS: Final = 15


def routes() -> list[web.RouteDef]:
    """The routes of this file."""
    return [
        web.get("/instances/launch_config", signed(Purpose.LAUNCH, _launch_config)),
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


async def _delete_instance(request: web.Request) -> web.Response:
    state, instance_id = request.app[STATE], request.match_info["instance_id"]
    instance = state.instances.get(instance_id)
    if instance is None or instance["miner_hotkey"] != request[HOTKEY]:
        raise Problem(404, "Instance not found")
    await tell(request, Reason.INSTANCE_DELETED, instance_id)
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
    config_of(request)
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

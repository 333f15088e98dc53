"""What a pod does with its launch config: claim it, prove its GPU, verify, activate (spec: protocol 9, graval 2.6)."""

from __future__ import annotations

import secrets
import uuid
from typing import Final

from aiohttp import web

from app.protocol.events import Reason
from lab.validator.auth import Unauthorised, read_token
from lab.validator.machines import FEED
from lab.validator.proving import GravalProver, NotProvedError, check_answer, new_key
from lab.validator.state import Config, Json, State
from lab.validator.web import STATE, Problem, read_json, reply

GRAVAL: Final = web.AppKey[GravalProver | None]("graval")


def routes() -> list[web.RouteDef]:
    """The routes of this file. They carry the launch token, no signature."""
    return [
        web.get("/instances/nonce", _nonce),
        web.post("/instances/launch_config/{config_id}", _claim),
        web.put("/instances/launch_config/{config_id}", _verify),
        web.post("/instances/launch_config/{config_id}/{flow:tee|graval}", _claim),
        web.put("/instances/launch_config/{config_id}/{flow:tee|graval}", _verify),
        web.get("/instances/launch_config/{config_id}/activate", _activate),
    ]


def config_of(request: web.Request) -> Config:
    """The launch config that the request's token is for, else 401 or 404."""
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
    state, config, body = request.app[STATE], config_of(request), await read_json(request)
    chute = _check_claim(request, config)
    gpus = body.get("gpus")
    uuids = [str(gpu.get("uuid")) for gpu in gpus if isinstance(gpu, dict)] if isinstance(gpus, list) else []
    is_tee = request.match_info.get("flow") == "tee" or bool(chute["tee"])
    _check_gpus(request, config, uuids, str(body.get("host")))
    locked = {} if is_tee else await _lock(request, config, body, uuids)
    chute = _check_claim(request, config)  # again: time passed while the key was locked
    server_id = _check_gpus(request, config, uuids, str(body.get("host")))
    config.claimed_at = state.clock()
    instance_id = str(uuid.uuid4())
    state.instances[instance_id] = _new_instance(state, config, chute) | {
        "instance_id": instance_id, "gpus": uuids, "server_id": server_id, "host": body.get("host"),
        "port_mappings": body.get("port_mappings"),
    }  # fmt: skip
    if config.job_id is not None and config.job_id in state.jobs:
        state.jobs[config.job_id].instance_id = instance_id
    await tell(request, Reason.INSTANCE_CREATED, instance_id, gpu_count=len(uuids), gpu_model_name="SIMULATED")
    return reply({"symmetric_key": new_key(), "simulated": True} if is_tee else _answer(config, locked))


def _check_claim(request: web.Request, config: Config) -> Json:
    if config.claimed_at is not None:
        raise Problem(409, "Launch config was already claimed")
    chute = request.app[STATE].chutes.get(config.chute_id)
    if chute is None or chute["version"] != config.version:
        raise Problem(404, "Chute version is gone")
    return chute


def _new_instance(state: State, config: Config, chute: Json) -> Json:
    return {
        "chute_id": config.chute_id, "version": config.version, "config_id": config.config_id, "active": False,
        "verified": False, "last_verified_at": None, "created_at": state.now_iso(), "activated_at": None,
        "miner_hotkey": config.hotkey, "chutes_version": chute["chutes_version"], "region": "simulated",
        "verification_error": None, "job_id": config.job_id,
    }  # fmt: skip


def _answer(config: Config, locked: Json) -> Json:
    config.nonce = secrets.token_hex(8)
    return {
        "seed": secrets.randbelow(2**63 - 2) + 1, "iterations": 1, "job_id": config.job_id, "simulated": True,
        "symmetric_key": {"response_plaintext": _expected(config), **locked},
    }  # fmt: skip


def _expected(config: Config) -> str:
    return f"secret is {config.config_id} {config.nonce}"


async def _lock(request: web.Request, config: Config, body: Json, uuids: list[str]) -> Json:
    """A key that only the pod's GPU can open; a validator without a prover locks nothing, and says so."""
    prover = request.app[GRAVAL]
    if prover is None:
        return {"ciphertext": None, "uuid": uuids[0]}
    key = new_key()
    try:
        nodes = [request.app[STATE].nodes[gpu] for gpu in uuids]
        locked = await prover.challenge(config.hotkey, nodes, body.get("graval_offers"), key)
    except NotProvedError as error:
        raise Problem(400, str(error)) from error
    config.symmetric_key = key
    return locked


def _check_gpus(request: web.Request, config: Config, uuids: list[str], host: str) -> str | None:
    state = request.app[STATE]
    selector = state.chutes[config.chute_id]["node_selector"]
    wanted = selector["gpu_count"] if isinstance(selector, dict) else 1
    if len(uuids) != wanted:
        raise Problem(400, f"the chute takes {wanted} GPUs, the pod has {len(uuids)}")
    taken = {uuid_ for item in state.instances.values() for uuid_ in _list(item.get("gpus"))}
    server_id: str | None = None
    for gpu in uuids:
        node = _own_node(state.nodes.get(gpu), gpu, config.hotkey, host)
        if gpu in taken:
            raise Problem(409, f"GPU {gpu} is already assigned")
        server_id = str(node["server_id"])
    if server_id is not None and state.servers.get(server_id, {}).get("maintenance_pending"):
        raise Problem(409, "the server is in maintenance")
    return server_id


def _own_node(node: Json | None, gpu: str, hotkey: str, host: str) -> Json:
    """A GPU of this miner, verified, at this host."""
    if node is None or node["miner_hotkey"] != hotkey:
        raise Problem(400, f"GPU {gpu} is not in this miner's inventory")
    if node["verified_at"] is None:
        raise Problem(400, f"GPU {gpu} is not verified")
    if node["verification_host"] != host:
        raise Problem(400, f"GPU {gpu} is registered at another host")
    return node


def _list(value: object) -> list[str]:
    return value if isinstance(value, list) else []


def _instance(request: web.Request, config: Config) -> Json:
    instance = request.app[STATE].instance_of(config.config_id)
    if instance is None:
        raise Problem(404, "Instance is gone")
    return instance


async def _verify(request: web.Request) -> web.Response:
    state, config = request.app[STATE], config_of(request)
    instance, body = _instance(request, config), await read_json(request)
    _check_response(config, body)
    instance["verified"] = True
    instance["last_verified_at"] = state.now_iso()
    await tell(request, Reason.INSTANCE_VERIFIED, str(instance["instance_id"]))
    return reply(
        {
            "chute_id": config.chute_id, "instance_id": instance["instance_id"],
            "verified_at": instance["last_verified_at"], "secrets": {}, "code": "", "fs_key": None,
            "activation_url": f"{state.api_url}/instances/launch_config/{config.config_id}/activate",
            "job_id": config.job_id, "simulated": True,
        }
    )  # fmt: skip


def _check_response(config: Config, body: Json) -> None:
    if config.symmetric_key is not None:
        try:
            check_answer(config.symmetric_key, body, _expected(config))
        except NotProvedError as error:
            raise Problem(400, str(error)) from error
    elif config.nonce is not None and body.get("response") != _expected(config):
        raise Problem(400, "the response is wrong")


async def _activate(request: web.Request) -> web.Response:
    state, config = request.app[STATE], config_of(request)
    instance = _instance(request, config)
    if not instance["verified"]:
        raise Problem(403, "Instance is not verified")
    instance["active"] = True
    instance["activated_at"] = state.now_iso()
    if (bounty := state.claim_bounty(config.chute_id)) is not None:
        instance["bounty"] = bounty
    await tell(request, Reason.INSTANCE_ACTIVATED, str(instance["instance_id"]))
    return reply({"ok": True})


async def tell(request: web.Request, reason: Reason, instance_id: str, **more: object) -> None:
    """Broadcast what became of an instance, to its miner."""
    instance = request.app[STATE].instances[instance_id]
    data = {key: instance[key] for key in ("instance_id", "chute_id", "config_id", "miner_hotkey")}
    await request.app[FEED].broadcast(reason.value, data | more, [str(instance["miner_hotkey"])])

"""`POST /lab/inference/{chute_id}`: a request to an active instance, as the validator's users send them.

A lab-only control route; what is asked lands on the node's own address and port, through everything in between.
"""

from __future__ import annotations

from typing import Final

import httpx
from aiohttp import web

from app.protocol.ports import ChutePort
from lab.validator.state import Json, State
from lab.validator.web import STATE, reply

_TIMEOUT_SECONDS: Final = 10.0


def routes() -> list[web.RouteDef]:
    """The route of this file."""
    return [web.post("/lab/inference/{chute_id}", _infer)]


def address_of(instance: Json) -> str:
    """Where an instance takes requests: its host, and the external port of the mapping to its primary port.

    Raises:
        LookupError: it reported no such port.
    """
    reported = instance.get("port_mappings")
    for mapping in reported if isinstance(reported, list) else []:
        if mapping.get("internal_port") == int(ChutePort.PRIMARY) and mapping.get("proto") in {"http", "tcp"}:
            return f"http://{instance['host']}:{mapping['external_port']}"
    raise LookupError(f"instance {instance['instance_id']} reported no port for requests")


def active_instance(state: State, chute_id: str) -> Json | None:
    """The chute's youngest active instance."""
    found = [item for item in state.instances.values() if item["chute_id"] == chute_id and item["active"]]
    return max(found, key=lambda item: str(item["activated_at"])) if found else None


async def _infer(request: web.Request) -> web.Response:
    state, chute_id = request.app[STATE], request.match_info["chute_id"]
    instance = active_instance(state, chute_id)
    if instance is None:
        return reply({"detail": "the chute has no active instance"}, 503)
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False) as http:
            answer = await http.post(f"{address_of(instance)}/generate", content=await request.read())
    except (httpx.HTTPError, LookupError) as error:
        return reply({"detail": f"{type(error).__name__} {error}".strip(), "instance": instance}, 502)
    if answer.status_code == 200:
        state.answered_by_chutes[chute_id] += 1
    body = answer.json() if answer.headers.get("Content-Type", "").startswith("application/json") else answer.text
    return reply({"instance_id": instance["instance_id"], "status": answer.status_code, "answer": body})

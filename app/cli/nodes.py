"""Commands over servers and deployments: add, delete, lock, purge."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

import orjson
from cyclopts import Parameter

from app.cli.access import Access, AnswerError, CommandError, Outgoing, Profile, segment, stream
from app.cli.output import Json, ask, err, mapping, out, print_json
from app.cli.progress import working

ADD_TIMEOUT_SECONDS: Final = 900.0
COMPLETED: Final = "completed server bootstrapping in"


def add_node(
    *,
    access: Access,
    name: str,
    validator: str,
    hourly_cost: float,
    gpu_short_ref: str,
    agent_api: str,
    json: Json = False,
) -> None:
    """Add a GPU node to the inventory and have it verified.

    Parameters
    ----------
    name
        Kubernetes name of the node.
    validator
        Hotkey of the validator.
    hourly_cost
        USD per GPU and hour.
    gpu_short_ref
        The subnet's name of the GPU model, such as h200.
    agent_api
        Address of the node's agent, such as http://203.0.113.7:32000.
    """
    body = {
        "name": name, "validator": validator, "hourly_cost": hourly_cost, "gpu_short_ref": gpu_short_ref,
        "agent_api": agent_api,
    }  # fmt: skip
    url = access.miner_api.rstrip("/") + "/servers/"
    request = Outgoing("POST", url, None, Profile.MANAGEMENT, body, timeout_seconds=ADD_TIMEOUT_SECONDS)
    is_completed = False
    try:
        for line in _lines(access, request):
            is_completed = _show(line, json=json) or is_completed
    except AnswerError as error:
        err().print("Error adding node:", style="red", end=" ")
        raise error from None
    if not is_completed:
        raise CommandError(f"node {name} was not added: see the last message")


def _lines(access: Access, request: Outgoing) -> Iterator[str]:
    """Lines of the stream; what it says last stands in a moving line until it says more."""
    waiting = f"adding the node at {request.url}"
    with stream(access, request) as answer:
        lines = answer.iter_lines()
        while True:
            with working(waiting):
                line = next(lines, None)
            if line is None:
                return
            waiting = _message(line) or waiting
            yield line


def _message(line: str) -> str:
    try:
        return str(mapping(orjson.loads(line[6:])).get("message", ""))
    except orjson.JSONDecodeError:
        return ""


def _show(line: str, *, json: bool) -> bool:
    """Print one event of the stream; True for the one that tells success."""
    if not line.strip():
        return False
    try:
        event = mapping(orjson.loads(line[6:]))
    except orjson.JSONDecodeError:
        return False
    message = str(event.get("message", ""))
    if json:
        print(orjson.dumps(event).decode())
    else:
        out().print(f"[blue]{event.get('timestamp')}[/blue]", end=" ")
        out().print(message, markup=False, highlight=False)
    return message.startswith(COMPLETED)


def delete_node(*, access: Access, name: str, json: Json = False) -> None:
    """Remove a node from the inventory, here and at the validator.

    Parameters
    ----------
    name
        Name or id of the node.
    json
        Accepted everywhere; the answer is JSON in any case.
    """
    _ = json
    try:
        if not _preflight(access, name):
            return
        print_json(access.miner("DELETE", f"/servers/{segment(name)}").json())
    except AnswerError as error:
        if error.status != 404:
            raise
        err().print("Node not found", style="yellow")


def _preflight(access: Access, name: str) -> bool:
    """Whether to go on: nothing runs a job there, or the operator says yes."""
    jobs = access.miner("GET", f"/servers/{segment(name)}/delete_preflight").json().get("jobs") or []
    if not jobs:
        return True
    err().print(f"{len(jobs)} jobs are running on {name} and would be lost.", style="yellow")
    return ask("Continue (y/n)?") == "y"


def lock(*, access: Access, name: str, json: Json = False) -> None:
    """Stop placing deployments on a node; what runs there goes on.

    Parameters
    ----------
    name
        Name or id of the node.
    """
    _set_lock(access, name, "lock", json=json)


def unlock(*, access: Access, name: str, json: Json = False) -> None:
    """Allow placing deployments on a node again.

    Parameters
    ----------
    name
        Name or id of the node.
    """
    _set_lock(access, name, "unlock", json=json)


def _set_lock(access: Access, name: str, action: str, *, json: bool) -> None:
    server = access.miner("GET", f"/servers/{segment(name)}/{action}").json()
    if json:
        print_json({"name": server["name"], "locked": server["locked"]})
    else:
        out().print(f"Server {server['name']} lock status is now: {server['locked']}", highlight=False)


def purge_deployments(*, access: Access, json: Json = False) -> None:
    """End all deployments; jobs go on."""
    _ = json
    print_json(access.miner("DELETE", "/deployments/purge").json())


def purge_deployment(
    *,
    access: Access,
    deployment_id: Annotated[str | None, Parameter(name=("--deployment-id", "-d"))] = None,
    node_id: Annotated[str | None, Parameter(name=("--node-id", "-n"))] = None,
    json: Json = False,
) -> None:
    """End one deployment, or those of one node.

    Parameters
    ----------
    deployment_id
        The deployment to end.
    node_id
        The node whose deployments to end.
    """
    _ = json
    if (deployment_id is None) == (node_id is None):
        out().print("Give exactly one of --deployment-id and --node-id")
        raise CommandError("")
    if deployment_id is not None:
        print_json(access.miner("DELETE", f"/deployments/{segment(deployment_id)}").json())
    elif node_id is not None:
        purge_server(access=access, name=node_id)


def purge_server(*, access: Access, name: Annotated[str, Parameter(name=("--name", "-n"))], json: Json = False) -> None:
    """End the deployments of one node; jobs go on.

    Parameters
    ----------
    name
        Name or id of the node.
    """
    _ = json
    if _preflight(access, name):
        print_json(access.miner("DELETE", f"/servers/{segment(name)}/deployments").json())

"""Commands at the validator: deletions of servers there, and the log of an instance that does not start."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Final

import httpx
import orjson
from cyclopts import Parameter

from app.cli.access import Access, AnswerError, CommandError, Outgoing, segment, stream
from app.cli.output import Json, Yes, confirmed, err, mapping, out, print_json, sequence
from app.protocol.signing import Purpose

CURSOR: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}", re.ASCII)
KEEP_ALIVE: Final = "."
INTERRUPTED_EXIT: Final = 130


def scorch_remote(*, access: Access, yes: Yes = False, json: Json = False) -> None:
    """Delete EVERY server of this hotkey at the validator. Asks first.

    Parameters
    ----------
    yes
        Do not ask.
    """
    servers = sequence(mapping(access.validator("GET", "/miner/servers/", Purpose.MINER).json()).get("servers"))
    names = [str(server.get("name") or server.get("server_id")) for server in servers]
    if not names:
        _nothing(json=json)
        return
    if not yes and not confirmed(
        f"Delete all {len(names)} servers of this hotkey at the validator: {', '.join(names)}?"
    ):
        raise CommandError("nothing was deleted")
    answers = [_delete(access, name, json=json) for name in names]
    if json:
        print_json(answers)


def _nothing(*, json: bool) -> None:
    if json:
        print_json([])
    else:
        out().print("no servers at the validator")


def delete_remote(*, access: Access, name: str, json: Json = False) -> None:
    """Delete one server at the validator.

    Parameters
    ----------
    name
        Name or id of the server there.
    """
    answer = _delete(access, name, json=json)
    if json:
        print_json(answer)


def _delete(access: Access, name: str, *, json: bool) -> object:
    if not json:
        out().print(f"Deleting server {name}", highlight=False)
    answer = access.validator("DELETE", f"/servers/{segment(name)}", Purpose.TEE)
    if not json:
        out().print(f"  successfully deleted {name}", highlight=False)
    return answer.json()


def instance_logs(
    *,
    access: Access,
    jwt: Annotated[str, Parameter(name=("--jwt", "-j"), env_var="CHUTES_LAUNCH_JWT")],
    cursor: Annotated[str | None, Parameter(name=("--cursor", "-c"))] = None,
    json: Json = False,
) -> None:
    """Follow the log of an instance that has not been activated.

    Parameters
    ----------
    jwt
        Its launch token; better given by CHUTES_LAUNCH_JWT than on the command line.
    cursor
        Where to go on, YYYY-MM-DDTHH:MM:SS.
    """
    if cursor is not None and not CURSOR.fullmatch(cursor):
        raise CommandError(f"a cursor looks like 2026-01-31T12:00:00; got {cursor}")
    url = access.validator_api.rstrip("/") + "/miner/instance_logs"
    query = {"cursor": cursor} if cursor else None
    request = Outgoing("GET", url, query=query, timeout_seconds=None, extra={"Authorization": jwt})
    position = [cursor]
    try:
        with stream(access, request) as answer:
            _follow(answer, position, json=json)
    except AnswerError as error:
        raise CommandError(f"HTTP {error.status}: {error.detail}") from error
    except CommandError:
        _resume(position[0])
        raise
    except KeyboardInterrupt:
        _resume(position[0])
        sys.exit(INTERRUPTED_EXIT)


def _follow(answer: httpx.Response, position: list[str | None], *, json: bool) -> None:
    for line in answer.iter_lines():
        if not line.startswith("data:"):
            continue
        payload = line.removeprefix("data:").strip()
        if payload == KEEP_ALIVE:
            continue
        try:
            event = orjson.loads(payload)
        except orjson.JSONDecodeError:
            event = None
        if isinstance(event, dict):
            position[0] = str(event["cursor"]) if event.get("cursor") else position[0]
            print(payload if json else event.get("log", ""))
        else:
            print(payload)


def _resume(cursor: str | None) -> None:
    if cursor is not None:
        err().print(f"go on with --cursor {cursor}", highlight=False)

"""`tee`: commands at a confidential VM's own manager, plain HTTP on its address (spec: protocol 7.2, 14.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import cyclopts
import httpx
import orjson
from cyclopts import Parameter

from app.cli.access import Access, CommandError, Outgoing, segment, send
from app.cli.output import Json, mapping, out, print_json, sequence, table
from app.protocol.ports import HostPort
from app.protocol.signing import Purpose

GET_TIMEOUT_SECONDS: Final = 60.0
POST_TIMEOUT_SECONDS: Final = 300.0

app = cyclopts.App(name="tee", help="Confidential VMs: caches, images, services, maintenance.")
Flag = Annotated[bool, Parameter(negative=())]


@Parameter(name="*")
@dataclass(frozen=True)
class Target:
    """Which VM: exactly one of the two.

    Parameters
    ----------
    ip
        Its address.
    name
        Its name in the miner API.
    """

    ip: str | None = None
    name: Annotated[str | None, Parameter(name=("--name", "-n"))] = None


NO_TARGET: Final = Target()


def address_of(access: Access, target: Target) -> str:
    """The VM's base address.

    Raises:
        CommandError: not exactly one of address and name, or no TEE server has the name.
    """
    if (target.ip is None) == (target.name is None):
        raise CommandError("give exactly one of --ip and --name")
    if target.ip is not None:
        return _base(target.ip)
    servers = sequence(access.miner("GET", "/servers/", timeout_seconds=30.0).json())
    server = next((item for item in servers if item.get("name") == target.name), None)
    if server is None:
        raise CommandError(f"no server is called {target.name}")
    if not server.get("is_tee"):
        raise CommandError(f"server {target.name} is no TEE server")
    if not server.get("ip_address"):
        raise CommandError(f"server {target.name} has no address")
    return _base(str(server["ip_address"]))


def _base(address: str) -> str:
    return f"http://[{address}]:{int(HostPort.SYSTEM_MANAGER)}" if ":" in address else f"http://{address}:8080"


def _purpose(path: str) -> Purpose:
    return next(p for p in (Purpose.STATUS, Purpose.CACHE, Purpose.IMAGES) if path.startswith(f"/{p.value}"))


def call(
    access: Access, target: Target, method: str, path: str, query: dict[str, object] | None = None, body: object = None
) -> httpx.Response:
    """One signed call; booleans travel as `true` and `false`."""
    texts = {key: _text(value) for key, value in (query or {}).items() if value is not None}
    timeout = POST_TIMEOUT_SECONDS if method == "POST" else GET_TIMEOUT_SECONDS
    url = address_of(access, target) + path
    return send(access, Outgoing(method, url, _purpose(path), body=body, query=texts, timeout_seconds=timeout))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def show(answer: httpx.Response, key: str | None, columns: tuple[str, ...], *, json: bool) -> None:
    """Print an answer: as JSON, or its list `key` as a table and the rest as lines."""
    found = mapping(orjson.loads(answer.content))
    if json or key is None or not columns:
        print_json(found)
        return
    table(None, columns, [tuple(item.get(name) for name in columns) for item in sequence(found.get(key))])
    for name, value in found.items():
        if name != key and not isinstance(value, list | dict):
            out().print(f"{name}: {value}", highlight=False, markup=False)


@app.command
def cache_download(
    *, access: Access, target: Target = NO_TARGET, chute_id: str, force: Flag = False, json: Json = False
) -> None:
    """Download a chute's model to the VM's cache."""
    answer = call(access, target, "POST", "/cache/download", {"force": force}, {"chute_id": chute_id})
    show(answer, None, (), json=json)


@app.command
def cache_download_status(
    *, access: Access, target: Target = NO_TARGET, chute_id: str | None = None, json: Json = False
) -> None:
    """How far downloads are."""
    answer = call(access, target, "GET", "/cache/download/status", {"chute_id": chute_id})
    show(answer, "chutes", ("chute_id", "status", "percent_complete", "eta_seconds", "error"), json=json)


@app.command
def cache_overview(*, access: Access, target: Target = NO_TARGET, json: Json = False) -> None:
    """What the cache holds."""
    answer = call(access, target, "GET", "/cache/overview")
    show(answer, "chutes", ("chute_id", "status", "repo_id", "size_bytes"), json=json)


@app.command
def cache_delete(
    *, access: Access, target: Target = NO_TARGET, chute_id: str, force: Flag = False, json: Json = False
) -> None:
    """Delete a chute's model from the cache."""
    answer = call(access, target, "DELETE", f"/cache/{segment(chute_id)}", {"force": force})
    show(answer, None, (), json=json)


@app.command
def cache_cleanup(
    *,
    access: Access,
    target: Target = NO_TARGET,
    max_age_days: int = 5,
    max_size_gb: int = 100,
    exclude_pattern: str | None = None,
    json: Json = False,
) -> None:
    """Delete what is old or too much."""
    body: dict[str, object] = {"max_age_days": max_age_days, "max_size_gb": max_size_gb}
    if exclude_pattern is not None:
        body["exclude_pattern"] = exclude_pattern
    show(call(access, target, "POST", "/cache/cleanup", body=body), None, (), json=json)


@app.command
def cache_cancel(
    *, access: Access, target: Target = NO_TARGET, chute_id: str, cleanup: Flag = False, json: Json = False
) -> None:
    """Stop a download."""
    answer = call(access, target, "POST", f"/cache/{segment(chute_id)}/cancel", {"cleanup": cleanup})
    show(answer, None, (), json=json)


@app.command
def cache_purge(*, access: Access, target: Target = NO_TARGET, json: Json = False) -> None:
    """Delete the whole cache."""
    show(call(access, target, "POST", "/cache/purge"), None, (), json=json)


@app.command
def image_list(*, access: Access, target: Target = NO_TARGET, json: Json = False) -> None:
    """Images on the VM."""
    show(call(access, target, "GET", "/images/"), "images", ("ref", "digest", "size_bytes"), json=json)


@app.command
def image_delete(
    *, access: Access, target: Target = NO_TARGET, image: str, force: Flag = False, json: Json = False
) -> None:
    """Delete an image; its reference keeps its slashes."""
    path = "/images/" + "/".join(segment(part).replace("%3A", ":").replace("%40", "@") for part in image.split("/"))
    show(call(access, target, "DELETE", path, {"force": force}), None, (), json=json)


@app.command
def image_prune(*, access: Access, target: Target = NO_TARGET, json: Json = False) -> None:
    """Delete images that nothing uses."""
    show(call(access, target, "POST", "/images/prune"), None, (), json=json)

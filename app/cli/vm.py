"""`tee node-health`, `services`, `gpu`, `disk`, `shutdown`: how a confidential VM is (spec: protocol 7.2, 14.4)."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from app.cli.access import Access, CommandError, Outgoing, segment, stream
from app.cli.output import Json, mapping, out, print_json
from app.cli.tee import NO_TARGET, Flag, Target, address_of, app, call, show
from app.protocol.signing import Purpose


@app.command
def node_health(*, access: Access, target: Target = NO_TARGET, json: Json = False) -> None:
    """Whether the VM's manager is well."""
    answer = call(access, target, "GET", "/status/health")
    if json:
        print_json(answer.json())
    else:
        out().print(f"status: {mapping(answer.json()).get('status')}", highlight=False)


@app.command
def services(  # noqa: PLR0913 - one option each, as the public command has them
    *,
    access: Access,
    target: Target = NO_TARGET,
    overview: Flag = False,
    status: str | None = None,
    logs: str | None = None,
    stream: Annotated[bool, Parameter(negative=())] = False,
    lines: int = 200,
    since_minutes: int = 0,
    json: Json = False,
) -> None:
    """Services of the VM: a list, an overview, one's status, or one's log."""
    if sum((overview, status is not None, logs is not None)) > 1:
        raise CommandError("give at most one of --overview, --status and --logs")
    if stream and logs is None:
        raise CommandError("--stream needs --logs")
    if logs is not None:
        _logs(access, target, logs, lines, since_minutes, follow=stream, json=json)
    elif status is not None:
        show(call(access, target, "GET", f"/status/services/{segment(status)}/status"), None, (), json=json)
    elif overview:
        show(call(access, target, "GET", "/status/overview"), None, (), json=json)
    else:
        show(call(access, target, "GET", "/status/services"), "services", ("id", "unit", "description"), json=json)


def _logs(
    access: Access, target: Target, service: str, lines: int, since_minutes: int, *, follow: bool, json: bool
) -> None:
    path = f"/status/services/{segment(service)}/logs"
    if not follow:
        answer = call(access, target, "GET", path, {"lines": lines, "since_minutes": since_minutes})
        if json:
            print_json(answer.json())
            return
        for line in mapping(answer.json()).get("logs") or ():  # type: ignore[attr-defined]
            print(line)
        return
    url = address_of(access, target) + path + "/stream"
    query = {"since_minutes": str(since_minutes)}
    with stream(access, Outgoing("GET", url, Purpose.STATUS, query=query, timeout_seconds=None)) as answer:
        for line in answer.iter_lines():
            print(line)


@app.command
def gpu(
    *, access: Access, target: Target = NO_TARGET, gpu: str = "all", detail: Flag = False, json: Json = False
) -> None:
    """What nvidia-smi says on the VM."""
    _ = json
    print_json(call(access, target, "GET", "/status/gpu/nvidia-smi", {"gpu": gpu, "detail": detail}).json())


@app.command
def disk(
    *,
    access: Access,
    target: Target = NO_TARGET,
    path: str = "/",
    diagnostic: Flag = False,
    max_depth: int = 3,
    top_n: int = 10,
    cross_filesystems: Flag = False,
    json: Json = False,
) -> None:
    """What takes the VM's disk."""
    query: dict[str, object] = {
        "path": path, "diagnostic": diagnostic, "max_depth": max_depth, "top_n": top_n,
        "cross_filesystems": cross_filesystems,
    }  # fmt: skip
    answer = call(access, target, "GET", "/status/disk/space", query)
    show(answer, "directories", ("path", "size_bytes"), json=json)


@app.command
def shutdown(*, access: Access, target: Target = NO_TARGET, confirm: Flag = False, json: Json = False) -> None:
    """Shut the VM down.

    Parameters
    ----------
    confirm
        Must be given.
    """
    if not confirm:
        raise CommandError("shutting a VM down needs --confirm")
    show(call(access, target, "POST", "/status/system/shutdown"), None, (), json=json)

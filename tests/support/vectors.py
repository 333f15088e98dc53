"""Plays recorded calls of a Pulumi provider to another one and compares the answers.

A record is one JSON object a line: case, step, method, request, response or error, and what was logged. What differs
from run to run is a placeholder such as `<random>`; it matches any value that is there. Texts of errors and of check
failures are for people and are not compared.
"""

from __future__ import annotations

import gzip
import json
import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

import grpc
from google.protobuf import json_format
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2_grpc
from pulumi.runtime.proto import provider_pb2 as wire

Json: TypeAlias = dict[str, Any]

_CALL_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 5.0
_PLACEHOLDER: Final = re.compile(r"<[a-z][A-Za-z-]*>")
_REQUESTS: Final = {
    "Handshake": wire.ProviderHandshakeRequest,
    "CheckConfig": wire.CheckRequest,
    "DiffConfig": wire.DiffRequest,
    "Configure": wire.ConfigureRequest,
    "GetPluginInfo": Empty,
    "Check": wire.CheckRequest,
    "Diff": wire.DiffRequest,
    "Create": wire.CreateRequest,
    "Update": wire.UpdateRequest,
    "Read": wire.ReadRequest,
    "Delete": wire.DeleteRequest,
    "Invoke": wire.InvokeRequest,
}


@dataclass(frozen=True)
class Call:
    """One recorded call and its answer."""

    step: str
    method: str
    request: Json
    answer: Json


def cases(path: Path) -> dict[str, list[Call]]:
    """The calls of every case of a compressed record, in order."""
    with gzip.open(path, "rt") as file:
        lines = [json.loads(line) for line in file]
    return {
        name: [
            Call(
                line["step"],
                line["method"],
                line["request"],
                {key: line[key] for key in ("response", "error", "logs") if key in line},
            )
            for line in group
        ]
        for name, group in groupby(lines, key=lambda line: line["case"])
    }


@dataclass
class Engine(engine_pb2_grpc.EngineServicer):
    """The engine's side: collects what a provider logs."""

    logs: list[Json] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._server = grpc.server(ThreadPoolExecutor(2))
        engine_pb2_grpc.add_EngineServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def Log(self, request: engine_pb2.LogRequest, context: grpc.ServicerContext) -> Empty:  # noqa: N802
        note: Json = {"severity": engine_pb2.LogSeverity.Name(request.severity), "message": request.message}
        note |= {"urn": request.urn} if request.urn else {}
        self.logs.append(note | ({"ephemeral": True} if request.ephemeral else {}))
        return Empty()

    def stop(self) -> None:
        self._server.stop(None).wait(_STOP_SECONDS)


class Provider:
    """A provider's process, started as the engine starts it."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self.engine = Engine()
        self._folder = folder
        self._ids: dict[str, str] = {}
        self._process = subprocess.Popen(
            [*command, self.engine.address], stdout=subprocess.PIPE, env=environment, cwd=folder, start_new_session=True
        )
        assert self._process.stdout is not None
        port = int(self._process.stdout.readline())
        self._drain = threading.Thread(target=self._process.stdout.read, daemon=True)
        self._drain.start()
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self._stub = provider_pb2_grpc.ResourceProviderStub(self._channel)

    def play(self, call: Call) -> Json:
        """Call as recorded, with this provider's own ids and folder in place of the placeholders."""
        request = json.loads(json.dumps(call.request).replace("<tmp>", str(self._folder)))
        if "id" in request:
            request["id"] = self._ids.get(request.get("urn", ""), request["id"])
        message = json_format.ParseDict(request, _REQUESTS[call.method]())
        self.engine.logs.clear()
        try:
            response = getattr(self._stub, call.method)(message, timeout=_CALL_SECONDS)
        except grpc.RpcError as error:
            answer: Json = {"error": {"code": error.code().name, "message": error.details()}}
        else:
            answer = {"response": json_format.MessageToDict(response, preserving_proto_field_name=True)}
            if call.method == "Create" and not request.get("preview"):
                self._ids[request["urn"]] = response.id
        return answer | ({"logs": list(self.engine.logs)} if self.engine.logs else {})

    def close(self) -> int:
        """End the provider as the engine does; its exit status."""
        self._channel.close()
        self._process.send_signal(signal.SIGINT)
        try:
            status = self._process.wait(_STOP_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            self._drain.join()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self.engine.stop()
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def differences(want: object, got: object, path: str = "") -> Iterator[str]:
    """Where `got` is not what was recorded."""
    if isinstance(want, dict) and isinstance(got, dict):
        for key in sorted({*want, *got}):
            here = f"{path}.{key}" if path else key
            if key not in got:
                yield f"{here} is missing, recorded {want[key]!r}"
            elif key not in want:
                yield f"{here} is {got[key]!r}, not recorded"
            else:
                yield from differences(want[key], got[key], here)
    elif isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        for index, (left, right) in enumerate(zip(want, got, strict=True)):
            yield from differences(left, right, f"{path}[{index}]")
    elif want != got and not _matches(want, got):
        yield f"{path} is {got!r}, recorded {want!r}"


def comparable(answer: Json) -> Json:
    """An answer without texts for people; lists that mean sets, and lines of two streams, in one order."""
    result: Json = json.loads(json.dumps(answer))
    result.get("error", {}).pop("message", None)
    response = result.get("response", {})
    for failure in response.get("failures", []):
        failure.pop("reason", None)
    for name in ("diffs", "replaces", "stables"):
        if name in response:
            response[name].sort()
    if "logs" in result:
        result["logs"].sort(key=json.dumps)
    return result


def _matches(want: object, got: object) -> bool:
    if not isinstance(want, str) or not _PLACEHOLDER.search(want):
        return False
    pattern = ".*".join(map(re.escape, _PLACEHOLDER.split(want)))
    return re.fullmatch(pattern, str(got), re.DOTALL) is not None

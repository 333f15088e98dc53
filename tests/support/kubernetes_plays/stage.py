"""Where a play is acted: provider processes, a folder, helpers in the background, and the lines that are kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

import grpc
from google.protobuf import json_format, struct_pb2
from google.protobuf.message import Message
from pulumi.runtime.proto import provider_pb2 as wire
from pulumi.runtime.proto import provider_pb2_grpc, status_pb2

from lab.engine.kubernetes.helm import HELM_VARIABLE
from tests.support.kubernetes_plays.cluster import Cluster
from tests.support.kubernetes_plays.comparison import Line
from tests.support.kubernetes_plays.placeholders import Placeholders
from tests.support.vectors import Engine, Json

STACK: Final = "urn:pulumi:dev::vectors::"
_CALL_SECONDS: Final = 90.0
_STOP_SECONDS: Final = 5.0
#: A partial failure carries the whole state in its trailers.
_CHANNEL_OPTIONS: Final = (("grpc.max_metadata_size", 1 << 20), ("grpc.absolute_max_metadata_size", 1 << 20))


class CallFailedError(Exception):
    """A call was answered with an error, which is kept already."""

    def __init__(self, error: Json) -> None:
        super().__init__(error["message"])
        self.error = error

    @property
    def kept(self) -> Json | None:
        """The state that an initialisation failure asks to keep."""
        details = self.error.get("details", [])
        return next((entry for entry in details if entry["@type"].endswith("ErrorResourceInitFailed")), None)


def struct(value: Mapping[str, Any]) -> struct_pb2.Struct:
    return json_format.ParseDict(dict(value), struct_pb2.Struct())


class ProviderProcess:
    """One provider, started as the engine starts it. `label` goes before the names of its steps."""

    def __init__(self, stage: Stage, label: str) -> None:
        self.stage = stage
        self._label = f"{label} " if label else ""
        self._process = subprocess.Popen(
            [*stage.command, stage.engine.address],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(stage.environment),
            cwd=stage.folder,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        port = int(self._process.stdout.readline())
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", _CHANNEL_OPTIONS)
        self._stub = provider_pb2_grpc.ResourceProviderStub(self._channel)

    def configure(self, **settings: str) -> Self:
        """Handshake and configuration as the engine does them; settings are texts, as the SDKs send them."""
        urn = f"{STACK}pulumi:providers:kubernetes::provider"
        self.attempt("handshake", "Handshake", wire.ProviderHandshakeRequest(engine_address=self.stage.engine.address))
        self.attempt("check config", "CheckConfig", wire.CheckRequest(urn=urn, news=struct(settings), olds=struct({})))
        variables = {f"kubernetes:config:{key}": value for key, value in settings.items()}
        request = wire.ConfigureRequest(variables=variables, args=struct(settings), acceptSecrets=True)
        self.attempt("configure", "Configure", request)
        return self

    def call(self, step: str, method: str, request: Message) -> Any:
        """Call, and keep the answer. Raises CallFailedError when it is an error."""
        try:
            answer = getattr(self._stub, method)(request, timeout=_CALL_SECONDS)
        except grpc.RpcError as error:
            failed = _error(error)
            self.stage.keep(f"{self._label}{step}", method, {"error": failed})
            raise CallFailedError(failed) from None
        shown = json_format.MessageToDict(answer, preserving_proto_field_name=True)
        self.stage.keep(f"{self._label}{step}", method, {"response": shown})
        return answer

    def attempt(self, step: str, method: str, request: Message) -> Any:
        """Like `call`, for steps whose failure is an answer as well: None."""
        try:
            return self.call(step, method, request)
        except CallFailedError:
            return None

    def close(self) -> None:
        self._channel.close()
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_STOP_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()


def _error(error: grpc.RpcError) -> Json:
    result: Json = {"code": error.code().name, "message": error.details()}
    metadata: Any = error.trailing_metadata() or ()  # typed as one pair, is many
    for key, value in metadata:
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            result["details"] = [
                json_format.MessageToDict(detail, preserving_proto_field_name=True) for detail in status.details
            ]
    return result


@dataclass
class Stage:
    """What a play gets.

    Attributes:
        case: name of the play; its namespace is `v-CASE`.
        command, environment: how providers are started.
        kubeconfig: text of the API server's.
        folder: of this play alone.
    """

    case: str
    command: Sequence[str]
    environment: Mapping[str, str]
    kubeconfig: str
    folder: Path
    lines: list[Line] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = Engine()
        self.placeholders = Placeholders({str(self.folder): "<tmp>", self.kubeconfig: "<kubeconfig>"})
        self._providers: list[ProviderProcess] = []
        self._helpers: list[threading.Thread] = []
        self._afterwards: list[Callable[[], object]] = []

    def provider(self, label: str = "", **settings: str) -> ProviderProcess:
        """A fresh, configured provider; without another kubeconfig it gets the API server's."""
        provider = ProviderProcess(self, label)
        self._providers.append(provider)
        return provider.configure(**{"kubeconfig": self.kubeconfig, **settings})

    def set_up(self, **settings: str) -> tuple[ProviderProcess, Cluster, str]:
        """A provider, the cluster, and a fresh namespace that is let go at the end."""
        cluster = self.cluster()
        space = cluster.namespace(f"v-{self.case}")
        self._afterwards.append(lambda: cluster.call("DELETE", f"/api/v1/namespaces/{space}"))
        return self.provider(**settings), cluster, space

    def cluster(self) -> Cluster:
        return Cluster(self.kubeconfig)

    def keep(self, step: str, method: str, answer: Json) -> None:
        """Keep an answer; a step that comes again is numbered."""
        count = 1 + sum(line.step.partition(" #")[0] == step for line in self.lines)
        name = f"{step} #{count}" if count > 1 else step
        self.lines.append(Line(name, method, self.placeholders(answer)))

    def background(self, work: Callable[[], object]) -> None:
        """Run beside the calls, for example to act a controller."""

        def guarded() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 -- whatever goes wrong in a helper is a result of the play
                self.problems.append(f"a helper failed: {type(error).__name__}: {error}")

        thread = threading.Thread(target=guarded, daemon=True)
        thread.start()
        self._helpers.append(thread)

    def act(self, play: Play) -> None:
        """Run a play and clean up behind it."""
        try:
            play(self)
        finally:
            for provider in self._providers:
                provider.close()
            for helper in self._helpers:
                helper.join(_STOP_SECONDS)
            for work in self._afterwards:
                work()
            self.engine.stop()


Play: TypeAlias = Callable[[Stage], None]


class Plays(dict[str, Play]):
    """Plays by the name of their case."""

    def __call__(self, play: Play) -> Play:
        self[play.__name__.replace("_", "-")] = play
        return play


def stand_in_stage(case: str, kubeconfig: str, helm: Path, folder: Path) -> Stage:
    """A stage for the stand-in, whose environment names no cluster and no settings of the caller's."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "KUBECONFIG": str(folder / "none"),
        HELM_VARIABLE: str(helm),
        **{key: value for key, value in os.environ.items() if key.startswith("COVERAGE_")},
    }
    return Stage(case, (sys.executable, "-P", "-m", "lab.engine.kubernetes"), environment, kubeconfig, folder)

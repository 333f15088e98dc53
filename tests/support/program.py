"""Runs a piece of the Pulumi program without an engine and keeps what it would have registered, secrets marked.

Assert on recorded inputs, never inside `apply`: an assertion there can be skipped in silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from unittest.mock import patch

from google.protobuf import json_format
from pulumi.runtime import mocks
from pulumi.runtime.proto import resource_pb2, source_pb2
from pulumi.runtime.stack import wait_for_rpcs

#: Marks a secret on the wire.
SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
#: What a mocked image build answers.
BUILD_ANSWER: Final = '{"reference": "r", "digest": "sha256:0", "size_bytes": 1, "archive": "/x"}'


@dataclass(frozen=True)
class Recorded:
    """One registration as the engine receives it."""

    request: resource_pb2.RegisterResourceRequest
    #: What a component registered as outputs; None for other resources.
    outputs: Mapping[str, Any] | None = None

    @property
    def type(self) -> str:
        return self.request.type

    @property
    def name(self) -> str:
        return self.request.name

    @property
    def inputs(self) -> dict[str, Any]:
        """Inputs with secret markers."""
        found: dict[str, Any] = json_format.MessageToDict(self.request.object)
        return found

    @property
    def plain_inputs(self) -> dict[str, Any]:
        """Inputs with the values of secrets in place of their markers."""
        found: dict[str, Any] = plain(self.inputs)
        return found

    @property
    def public_inputs(self) -> dict[str, Any]:
        """Inputs with every secret taken out."""
        found: dict[str, Any] = without_secrets(self.inputs)
        return found

    @property
    def custom(self) -> bool:
        """Whether a provider serves it: no component, no stack, no provider."""
        return self.request.custom and not self.type.startswith("pulumi:")

    @property
    def parent(self) -> str:
        return self.request.parent

    @property
    def provider(self) -> str:
        return self.request.provider

    @property
    def deleted_with(self) -> str:
        return self.request.deletedWith


@dataclass
class Recording:
    """Everything that was registered, in the order of names, and the outputs that the function answered."""

    resources: list[Recorded] = field(default_factory=list)
    outputs: Mapping[str, Any] = field(default_factory=dict)

    def of_type(self, type_: str) -> list[Recorded]:
        return [resource for resource in self.resources if resource.type == type_]

    def one(self, type_: str, name: str) -> Recorded:
        (found,) = [resource for resource in self.of_type(type_) if resource.name == name]
        return found


class _Answers(mocks.Mocks):
    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        own: dict[str, dict[str, Any]] = {
            "headframe:index:Host": {"kubeconfig": "marker-kubeconfig", "drift": [], "reachable": True, "facts": {}},
            "headframe:index:Password": {"value": f"marker-password-{args.name}"},
            "command:local:Command": {"stdout": BUILD_ANSWER},
        }
        return f"{args.name}-id", {**args.inputs, **own.get(args.typ, {})}

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        return {}, None


class _Monitor(mocks.MockMonitor):
    def __init__(self) -> None:
        super().__init__(_Answers())
        self.requests: list[resource_pb2.RegisterResourceRequest] = []
        self.outputs: dict[tuple[str, str], Mapping[str, Any]] = {}
        self.loops: set[asyncio.AbstractEventLoop] = set()

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> Any:  # noqa: N802 the wire's name
        """Called in a worker thread, for which the SDK opens an event loop that it never closes."""
        self.requests.append(request)
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type != "pulumi:pulumi:Stack":
            self.loops.add(asyncio.get_event_loop())
        return answer

    def RegisterResourceOutputs(self, request: resource_pb2.RegisterResourceOutputsRequest) -> Any:  # noqa: N802
        """Outputs of a component, by its type and name."""
        type_, name = request.urn.split("::")[-2:]
        self.outputs[type_.rsplit("$", 1)[-1], name] = json_format.MessageToDict(request.outputs)
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]


def declare(declaration: Callable[[], Mapping[str, Any] | None], *, preview: bool = False) -> Recording:
    """Run the declaration in a loop of its own, wait for every registration, answer what was registered.

    Where in the source a resource is declared is left out: under a test runner's deep stack it costs most of the time.
    """
    monitor = _Monitor()

    async def run() -> Mapping[str, Any]:
        mocks.set_mocks(_Answers(), project="headframe", stack="test", preview=preview, monitor=monitor)
        try:
            return declaration() or {}
        finally:  # what was registered before a failure belongs to this loop and no later one
            await wait_for_rpcs()

    try:
        with patch("pulumi.runtime.resource._get_stack_trace", source_pb2.StackTrace):
            outputs = asyncio.run(run())
    finally:
        for loop in monitor.loops:
            loop.close()
    every = (Recorded(request, monitor.outputs.get((request.type, request.name))) for request in monitor.requests)
    recorded = sorted(every, key=lambda item: (item.type, item.name))
    return Recording(recorded, outputs)


def plain(value: Any) -> Any:
    """The value without secret markers."""
    if isinstance(value, dict):
        return plain(value["value"]) if SIGNATURE in value else {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def without_secrets(value: Any) -> Any:
    """The value with every secret taken out."""
    if isinstance(value, dict):
        if SIGNATURE in value:
            return "[secret]"
        return {key: without_secrets(item) for key, item in value.items()}
    return [without_secrets(item) for item in value] if isinstance(value, list) else value

"""A resource as the engine carries it between calls: inputs, outputs and id."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message import Message
from pulumi.runtime.proto import provider_pb2 as wire

from tests.support.kubernetes_plays.stage import STACK, CallFailedError, ProviderProcess, struct
from tests.support.vectors import Json

_SEED: Final = bytes(range(32))


class Resource:
    """Steps are named after a tag: `TAG: check`, `diff`, `preview`, `real`, `read`, `delete`.

    Failures are kept as answers and do not end a play.
    """

    def __init__(self, provider: ProviderProcess, type_: str, name: str) -> None:
        self.provider, self.type, self.name = provider, f"kubernetes:{type_}", name
        self.id = ""
        self.inputs: Json = {}
        self.outputs: Json = {}

    @property
    def _who(self) -> dict[str, Any]:
        return {"urn": f"{STACK}{self.type}::{self.name}", "name": self.name, "type": self.type}

    def moved_to(self, provider: ProviderProcess) -> Resource:
        """The same resource behind another provider."""
        other = Resource(provider, self.type.removeprefix("kubernetes:"), self.name)
        other.id, other.inputs, other.outputs = self.id, self.inputs, self.outputs
        return other

    def check(self, news: Json, tag: str) -> Json | None:
        """Checked inputs, or None if they were refused."""
        request = wire.CheckRequest(**self._who, olds=struct(self.inputs), news=struct(news), randomSeed=_SEED)
        answer = self.provider.attempt(f"{tag}: check", "Check", request)
        if answer is None or answer.failures:
            return None
        return json_format.MessageToDict(answer.inputs)

    def create(
        self, news: Json, tag: str = "create", *, timeout: float = 0, preview: bool = True, real: bool = True
    ) -> None:
        if (inputs := self.check(news, tag)) is None:
            return
        request = wire.CreateRequest(**self._who, properties=struct(inputs), timeout=timeout)
        self._play(inputs, tag, "Create", request, preview=preview, real=real)

    def update(
        self, news: Json, tag: str = "update", *, timeout: float = 0, preview: bool = True, real: bool = True
    ) -> None:
        """Check, diff, preview and update, whatever the diff says."""
        if (inputs := self.diff(news, tag)) is None:
            return
        olds: dict[str, Any] = {"olds": struct(self.outputs), "old_inputs": struct(self.inputs)}
        request = wire.UpdateRequest(**self._who, id=self.id, **olds, news=struct(inputs), timeout=timeout)
        self._play(inputs, tag, "Update", request, preview=preview, real=real)

    def diff(self, news: Json, tag: str = "diff") -> Json | None:
        """Check and diff; the checked inputs."""
        if (inputs := self.check(news, tag)) is not None:
            olds: dict[str, Any] = {"olds": struct(self.outputs), "old_inputs": struct(self.inputs)}
            request = wire.DiffRequest(**self._who, id=self.id, **olds, news=struct(inputs))
            self.provider.attempt(f"{tag}: diff", "Diff", request)
        return inputs

    def read(self, tag: str = "read") -> None:
        """Refresh."""
        state: dict[str, Any] = {"properties": struct(self.outputs), "inputs": struct(self.inputs)}
        try:
            answer = self.provider.call(f"{tag}: read", "Read", wire.ReadRequest(**self._who, id=self.id, **state))
        except CallFailedError as failed:
            if failed.kept:
                self.outputs = failed.kept.get("properties", {})
                self.inputs = failed.kept.get("inputs") or self.inputs
            return
        if answer.id:
            self.outputs = json_format.MessageToDict(answer.properties)
            self.inputs = json_format.MessageToDict(answer.inputs) or self.inputs

    def import_(self, id_: str, tag: str = "import") -> None:
        """Read by id alone, as for `pulumi import`."""
        self.provider.attempt(f"{tag}: read", "Read", wire.ReadRequest(**self._who, id=id_))

    def delete(self, tag: str = "delete", *, timeout: float = 0) -> None:
        state: dict[str, Any] = {"properties": struct(self.outputs), "old_inputs": struct(self.inputs)}
        request = wire.DeleteRequest(**self._who, id=self.id, **state, timeout=timeout)
        self.provider.attempt(f"{tag}: delete", "Delete", request)

    def _play(self, inputs: Json, tag: str, method: str, request: Any, *, preview: bool, real: bool) -> None:
        if preview:
            request.preview = True
            self.provider.attempt(f"{tag}: preview", method, request)
            request.preview = False
        if real:
            self._keep(inputs, tag, method, request)

    def _keep(self, inputs: Json, tag: str, method: str, request: Message) -> None:
        """Make a real change and keep what it answers: after a partial failure the new outputs, and after one of an
        update the old inputs."""
        try:
            answer = self.provider.call(f"{tag}: real", method, request)
        except CallFailedError as failed:
            if failed.kept:
                self.id = failed.kept.get("id", self.id)
                self.inputs = inputs if method == "Create" else self.inputs
                self.outputs = failed.kept.get("properties", {})
            return
        self.id = getattr(answer, "id", self.id)
        self.inputs, self.outputs = inputs, json_format.MessageToDict(answer.properties)

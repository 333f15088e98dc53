"""What a kind of resource must be able to do. The server speaks gRPC; a kind speaks of properties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from infra.provider.diff import Difference
from infra.provider.log import ResourceLog
from infra.provider.wire import Properties


class ProviderError(Exception):
    """The call failed and nothing is to be recorded. The text is what the operator reads: short, with the fix."""


class PartialStateError(Exception):
    """The resource exists but is not whole: it is recorded with the reasons, and the next run updates it.

    Args:
        reasons: short sentences for the operator.
        outputs: what is known of the resource.
        id: for a creation, the new resource's id.
    """

    def __init__(self, reasons: Sequence[str], outputs: Properties, id: str) -> None:  # noqa: A002 the wire's name
        super().__init__("; ".join(reasons))
        self.reasons = tuple(reasons)
        self.outputs = outputs
        self.id = id


@dataclass(frozen=True)
class CheckFailure:
    """One input that cannot be accepted."""

    property: str
    reason: str


@dataclass(frozen=True)
class Call:
    """What every call has. `timeout_seconds` is None where the user set none."""

    urn: str
    name: str
    log: ResourceLog
    timeout_seconds: float | None = None
    preview: bool = False


@dataclass(frozen=True)
class ReadResult:
    """What was found. `id` None says that the resource is gone, which makes the engine create it anew."""

    id: str | None
    inputs: Properties
    outputs: Properties


@dataclass(frozen=True)
class Diff:
    """Differences, and whether a replacement must delete first (always so where two cannot exist at once)."""

    differences: tuple[Difference, ...]
    delete_before_replace: bool = False


class Kind(Protocol):
    """One resource type of the provider. Methods that touch the world are coroutines and may raise `ProviderError`;
    `create` and `update` also `PartialStateError`."""

    #: Type token, `headframe:index:Name`.
    type: str
    #: Whether the engine reads the resource before every preview and update.
    refresh_before_update: bool

    def check(self, olds: Properties, news: Properties) -> tuple[Properties, Sequence[CheckFailure]]:
        """Inputs to use, and what is wrong with them."""
        ...

    def diff(self, old_inputs: Properties, old_outputs: Properties, news: Properties) -> Diff:
        """What an update would change. Never touches the world."""
        ...

    async def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        """Id and outputs; in a preview the id is not used and unknown outputs are `wire.UNKNOWN`."""
        ...

    async def read(self, call: Call, id: str, inputs: Properties, outputs: Properties) -> ReadResult:  # noqa: A002
        """The resource as it is now. Empty properties: an import, of which only the id is known."""
        ...

    async def update(self, call: Call, id: str, old_outputs: Properties, news: Properties) -> Properties:  # noqa: A002
        """Outputs after the change."""
        ...

    async def delete(self, call: Call, id: str, outputs: Properties) -> None:  # noqa: A002
        """End the resource."""
        ...

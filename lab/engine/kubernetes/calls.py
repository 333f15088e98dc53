"""What the engine asks of a provider and what it is answered, without protobuf. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lab.engine.kubernetes.changes import PropertyChange
from lab.engine.kubernetes.kinds import Urn
from lab.engine.kubernetes.naming import NameSource
from lab.engine.kubernetes.values import Properties


class ProviderError(Exception):
    """A call failed; the text is what the user reads."""


class InitializationError(ProviderError):
    """The object is there but not as wanted: the engine keeps its state and tries again next time.

    Attributes:
        answer: the object as it is.
        keeps_inputs: the engine's inputs stay; otherwise those of `answer` replace them.
        reasons: one text for each thing that is amiss.
    """

    def __init__(self, message: str, answer: Answer, details: tuple[str, ...], *, keeps_inputs: bool = True) -> None:
        super().__init__(message)
        self.answer = answer
        self.keeps_inputs = keeps_inputs
        self.reasons = (message, *details)


@dataclass(frozen=True)
class CheckCall:
    """Complete and check inputs. `olds` is empty for a new resource."""

    urn: Urn
    olds: Properties
    news: Properties
    names: NameSource


@dataclass(frozen=True)
class Checked:
    inputs: Properties
    failures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DiffCall:
    """Compare wanted inputs with the kept state."""

    urn: Urn
    state: Properties
    news: Properties
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Difference:
    """The answer to a DiffCall.

    Attributes:
        changes: changed properties by path.
        names: top-level properties that changed, where the official provider tells them.
    """

    changes: Mapping[str, PropertyChange]
    delete_before_replace: bool = False
    names: tuple[str, ...] = ()
    has_detail: bool = True

    @property
    def replaces(self) -> tuple[str, ...]:
        return tuple(path for path, change in self.changes.items() if change.replaces)


@dataclass(frozen=True)
class CreateCall:
    urn: Urn
    inputs: Properties
    timeout_seconds: float
    is_preview: bool


@dataclass(frozen=True)
class UpdateCall:
    urn: Urn
    id: str
    state: Properties
    news: Properties
    timeout_seconds: float
    is_preview: bool
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReadCall:
    """Look at the live object. Without state and inputs it is an import by id."""

    urn: Urn
    id: str
    state: Properties
    inputs: Properties


@dataclass(frozen=True)
class DeleteCall:
    urn: Urn
    id: str
    state: Properties
    timeout_seconds: float


@dataclass(frozen=True)
class Answer:
    """An object as it is, or is going to be: empty id for one that is not there."""

    id: str
    properties: Properties
    inputs: Properties = field(default_factory=dict)


GONE = Answer("", {})


class Handler(Protocol):
    """Serves the calls about one family of resources. Every method may raise ProviderError."""

    async def check(self, call: CheckCall) -> Checked: ...

    async def diff(self, call: DiffCall) -> Difference: ...

    async def create(self, call: CreateCall) -> Answer: ...

    async def update(self, call: UpdateCall) -> Answer: ...

    async def read(self, call: ReadCall) -> Answer: ...

    async def delete(self, call: DeleteCall) -> None: ...

"""What the host runner says: one JSON object a line on its standard output, and its exit codes.

A reader must skip nothing: an unknown event is a version mismatch between provider and runner, and an error.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter

from infra.spec.facts import HostFacts
from infra.spec.model import Model, Secret
from infra.spec.plan import Plan


class Verb(StrEnum):
    """What the runner is asked for."""

    PLAN = "plan"  # what would change; changes nothing
    APPLY = "apply"  # plan, then do it
    FACTS = "facts"  # observe only
    STOP = "stop"  # end Kubernetes, remove our secrets, keep data
    WIPE = "wipe"  # stop, and remove Kubernetes with its data
    DRAIN = "drain"  # close the node for pods, let chutes end
    OPEN = "open"  # let pods in again
    RESTART = "restart"  # restart k3s, under the lease
    REBOOT = "reboot"  # reboot the machine, under the lease
    RECOVER = "recover"  # free the lease that this machine keeps


class ExitCode(IntEnum):
    """How a run ended."""

    DONE = 0
    CANNOT_CONNECT = 2
    OPERATION_FAILED = 3
    SPEC_REJECTED = 4
    BUG = 5


class ErrorKind(StrEnum):
    """Names of the failures, one for each exit code but zero."""

    CANNOT_CONNECT = "cannot-connect"
    OPERATION_FAILED = "operation-failed"
    SPEC_REJECTED = "spec-rejected"
    BUG = "bug"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class OperationState(StrEnum):
    STARTED = "started"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    FAILED = "failed"


class Hello(Model):
    """First line: who speaks."""

    event: Literal["hello"] = "hello"
    verb: Verb
    host: str


class Connected(Model):
    """The SSH connection stands and the host key was the pinned one."""

    event: Literal["connected"] = "connected"
    seconds: float


class FactsEvent(Model):
    event: Literal["facts"] = "facts"
    facts: HostFacts


class PlanEvent(Model):
    event: Literal["plan"] = "plan"
    plan: Plan


class OperationEvent(Model):
    """Progress: operation `number` of `total`."""

    event: Literal["op"] = "op"
    number: int
    total: int
    name: str
    state: OperationState


class LogEvent(Model):
    event: Literal["log"] = "log"
    level: LogLevel
    message: str


class TurnEvent(Model):
    """The run begins to wait: for its turn, or for chutes to finish. From now on it has its whole time again, and this
    beside it: one whose waiting counted would be cut off in the middle of its disruption."""

    event: Literal["turn"] = "turn"
    waits_seconds: float


class ResultEvent(Model):
    """Last line of a successful run. `kubeconfig` is there when the host has a cluster of ours."""

    event: Literal["result"] = "result"
    changed: tuple[str, ...] = ()
    kubeconfig: Secret | None = None
    seconds: float


class ErrorEvent(Model):
    """Last line of a failed run. `message` is short; what the command printed is in `output`, cut to its end."""

    event: Literal["error"] = "error"
    kind: ErrorKind
    message: str
    operation: str | None = None
    output: str = ""


Event = Annotated[
    Hello | Connected | FactsEvent | PlanEvent | OperationEvent | LogEvent | TurnEvent | ResultEvent | ErrorEvent,
    Field(discriminator="event"),
]

_ADAPTER: Final[TypeAdapter[Event]] = TypeAdapter(Event)


def parse_event(line: str | bytes) -> Event:
    """The event on one line.

    Raises:
        pydantic.ValidationError: not JSON, or not an event of this version.
    """
    return _ADAPTER.validate_json(line)

"""A machine that is none: pyinfra's @fake connector with the answers of a plain Debian host, and what it was told."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from pyinfra.api import Config, Inventory, State
from pyinfra.connectors.fake import FakeConnector

from infra.hosts.emitter import Emitter
from infra.hosts.failures import RunnerError
from infra.hosts.runner import run_on
from infra.spec import Event, HostSpec, Plan, PlanEvent, Verb, parse_event

Responses = Mapping[str, object]

_MACHINE: Final = """\
machine_id=0123456789abcdef0123456789abcdef
hostname=gpu-0
os_id=debian
os_version=12
kernel=6.1.0
architecture=x86_64
cgroup_version=2
cores=8
ram_mib=65536
swap_mib=0
root_free_gib=200
data_free_gib=900
address=203.0.113.7
route_address=203.0.113.7
reboot_required=no
pending_security_updates=0
"""


@dataclass(frozen=True)
class Run:
    """What a run said and which commands it sent, in order."""

    events: tuple[Event, ...]
    commands: tuple[str, ...]
    error: RunnerError | None = None

    @property
    def plan(self) -> Plan:
        return next(event.plan for event in self.events if isinstance(event, PlanEvent))


def run_fake(verb: Verb, spec: HostSpec, responses: Responses | None = None) -> Run:
    """Run a verb on a fake machine.

    Args:
        responses: parts of commands -> what the machine prints; the first match wins.
    """
    answers: dict[str, object] = {"say machine_id": _MACHINE, **(responses or {})}
    data: dict[str, Any] = {"fake_responses": answers, "fake_delay": 0, "fake_delay_jitter": 0}
    inventory = Inventory(([("@fake/machine", data)], {}))
    state = State(inventory, Config(PARALLEL=1))
    out = io.StringIO()
    error: RunnerError | None = None
    try:
        run_on(state, verb, spec, Emitter(out))
    except RunnerError as caught:
        error = caught
    events = tuple(parse_event(line) for line in out.getvalue().splitlines())
    (host,) = state.inventory
    return Run(events, tuple(cast("FakeConnector", host.connector).executed_commands), error)

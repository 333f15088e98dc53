"""One booted lab machine and the host runner against it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

from infra.spec import ErrorEvent, Event, ExitCode, HostSpec, Plan, PlanEvent, ResultEvent, Verb, parse_event
from lab.hosts.fleet import LabFleet
from tests.support.specs import host_spec


@dataclass(frozen=True)
class Machine:
    """One booted machine and the runner against it."""

    fleet: LabFleet
    name: str
    address: str

    def spec(self, **changes: object) -> HostSpec:
        lines = [line.split() for line in self.fleet.known_hosts.read_text().splitlines()]
        keys = {name: " ".join(key[:2]) for names, *key in lines for name in names.split(",")}
        given: dict[str, object] = {
            "name": self.name,
            "host": self.address,
            "host_key": keys[self.address],
            "private_key": self.fleet.private_key.read_text(),
        }
        return host_spec(**{**given, **changes})

    def run(self, verb: Verb, spec: HostSpec) -> tuple[int, list[Event]]:
        """Exit status and events of one run."""
        done = subprocess.run(
            [sys.executable, "-m", "infra.hosts", verb],
            input=f"{spec.to_json()}\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        return done.returncode, [parse_event(line) for line in done.stdout.splitlines()]

    def apply(self, spec: HostSpec) -> tuple[str, ...]:
        """Names of what changed; fails the test where the run failed."""
        status, events = self.run(Verb.APPLY, spec)
        assert status == 0, events[-1]
        assert isinstance(events[-1], ResultEvent)
        return events[-1].changed

    def plan(self, spec: HostSpec) -> tuple[str, ...]:
        """Names of what would change."""
        status, events = self.run(Verb.PLAN, spec)
        assert status == 0, events[-1]
        plans: list[Plan] = [event.plan for event in events if isinstance(event, PlanEvent)]
        return plans[0].changes

    def refusal(self, spec: HostSpec, status: ExitCode = ExitCode.OPERATION_FAILED) -> ErrorEvent:
        """The last word of an apply that must fail with this status."""
        ended, events = self.run(Verb.APPLY, spec)
        assert ended == status
        assert isinstance(events[-1], ErrorEvent)
        return events[-1]

    def ssh(self, command: str) -> str:
        return self.fleet.ssh(self.name, command).strip()

    @classmethod
    def all_of(cls, fleet: LabFleet) -> tuple[Machine, ...]:
        """The machines of a booted fleet."""
        return tuple(cls(fleet, host.name, host.address) for host in fleet.hosts)

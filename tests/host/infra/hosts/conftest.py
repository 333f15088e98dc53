"""Booted lab machines for the deploys, and the runner against them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from infra.spec import Event, HostSpec, Plan, PlanEvent, ResultEvent, Verb, parse_event
from lab.hosts.fleet import LabFleet
from tests.support.lab_fleet import booted_fleet
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

    def ssh(self, command: str) -> str:
        return self.fleet.ssh(self.name, command).strip()


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabFleet]:
    """Two booted machines, shared by the tests of this folder; each test leaves them usable."""
    with booted_fleet(tmp_path_factory.mktemp("lab"), ("one", "two")) as fleet:
        yield fleet


@pytest.fixture(scope="session")
def machine(fleet: LabFleet) -> Machine:
    host = fleet.hosts[0]
    return Machine(fleet, host.name, host.address)


@pytest.fixture(scope="session")
def other(fleet: LabFleet) -> Machine:
    host = fleet.hosts[1]
    return Machine(fleet, host.name, host.address)

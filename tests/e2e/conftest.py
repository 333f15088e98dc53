"""One fleet for the whole tier."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.embedded.day import Timeline
from tests.support.lab import Lab, running_lab
from tests.support.lab_fleet import skip_without_hosts


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The lab, up and without pending changes; skipped where this machine cannot boot hosts."""
    skip_without_hosts()
    with running_lab() as found:
        yield found


@pytest.fixture(scope="session")
def last_up() -> dict[str, int]:
    """How many tests had failed when the fleet was last known to be settled."""
    return {}


@pytest.fixture
def settled(lab: Lab, last_up: dict[str, int], request: pytest.FixtureRequest) -> Lab:
    """The lab as an `up` that succeeded left it. A test that passes leaves it like that: only a failure costs a run."""
    if last_up.get("failures") != request.session.testsfailed:
        done = lab.up()
        assert done.status == 0, done.output
        last_up["failures"] = request.session.testsfailed
    return lab


_DAY = pytest.StashKey[Timeline]()


@pytest.fixture(scope="session")
def timeline(request: pytest.FixtureRequest) -> Timeline:
    """What happened when in a day of operation; shown after the tests."""
    found = Timeline()
    found.note("the fleet is up")
    request.config.stash[_DAY] = found
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The day of operation, in seconds."""
    day = config.stash.get(_DAY, None)
    if day is not None:
        terminalreporter.section("a day of operation (GPUs, validator and chain are SIMULATED)")
        for seconds, line in day.lines:
            terminalreporter.write_line(f"{seconds:7.1f}  {line}")
        for line in day.figures:
            terminalreporter.write_line(line)

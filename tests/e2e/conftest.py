"""One fleet for the whole tier."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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

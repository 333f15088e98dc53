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


@pytest.fixture
def settled(lab: Lab) -> Lab:
    """The lab as an `up` that succeeded left it, whatever the test before did."""
    done = lab.up()
    assert done.status == 0, done.output
    return lab

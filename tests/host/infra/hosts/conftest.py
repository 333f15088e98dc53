"""Two booted lab machines, shared by the tests of this folder; each test leaves them usable."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.hosts.fleet import LabFleet
from tests.support.lab_fleet import booted_fleet
from tests.support.lab_machine import Machine


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabFleet]:
    with booted_fleet(tmp_path_factory.mktemp("lab"), ("one", "two")) as fleet:
        yield fleet


@pytest.fixture(scope="session")
def machine(fleet: LabFleet) -> Machine:
    return Machine.all_of(fleet)[0]


@pytest.fixture(scope="session")
def other(fleet: LabFleet) -> Machine:
    return Machine.all_of(fleet)[1]

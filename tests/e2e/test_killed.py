"""SIGKILL for each process of a run, in each of its phases: a run that is let finish repairs what they all left."""

from __future__ import annotations

import pytest

from tests.support.engine import eventually
from tests.support.lab import Lab, processes_of_home
from tests.support.lab_kills import kill_the_engine, recover

pytestmark = [pytest.mark.e2e, pytest.mark.host, pytest.mark.timeout(2700)]

FILE = "/var/snap/headframe/redis/README"
BREAK = f"echo broken > {FILE}"
PLANS = "infra.hosts --attached plan"
APPLIES = "infra.hosts --attached apply"
PROVIDER = "infra.provider"


@pytest.fixture
def broken(settled: Lab) -> Lab:
    """A control host with one file that a run has to repair."""
    settled.fleet.ssh(settled.control, BREAK)
    return settled


def is_whole(lab: Lab) -> bool:
    return "broken" not in lab.fleet.ssh(lab.control, f"cat {FILE}")


@pytest.mark.parametrize("seen", [PLANS, APPLIES], ids=["while hosts are read", "while hosts change"])
def test_one_run_after_a_killed_runner_a_killed_provider_and_a_killed_engine_repairs(broken: Lab, seen: str) -> None:
    """Each on what the one before left; alone, runner and provider die in tests/service/infra/provider."""
    kill_and_see_it_end(broken, seen, seen)
    broken.fleet.ssh(broken.control, BREAK)  # a run that lost its reader may have repaired it
    kill_and_see_it_end(broken, seen, PROVIDER)
    broken.fleet.ssh(broken.control, BREAK)
    kill_the_engine(broken, seen)
    locked = broken.up()
    assert locked.status != 0
    assert "locked" in locked.output
    recover(broken)
    assert not broken.state()["deployment"].get("pending_operations")

    done = broken.up()
    assert done.status == 0, done.output
    assert is_whole(broken)
    assert done.replaces == []


def kill_and_see_it_end(broken: Lab, seen: str, killed: str) -> None:
    with broken.started("up", "--yes", "--skip-preview") as running:
        running.wait_until_seen(seen)
        running.kill_when_seen(lambda command: killed in command)
        done = running.finish()
    # A machine that could not be read is left as it is, with a warning: it fails nobody's run (D7).
    assert done.status != 0 or is_whole(broken) or f"{broken.control} cannot be read" in done.output, done.output
    assert done.replaces == []
    assert eventually(lambda: processes_of_home(broken.engine.toolchain.home) == []), "orphans"

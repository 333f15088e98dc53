"""SIGKILL for each process of a run, in each of its phases: the next run finishes the work."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lab.fleet.engine import CLONE
from tests.support.engine import eventually
from tests.support.lab import Lab, processes_of_home

pytestmark = [pytest.mark.e2e, pytest.mark.host, pytest.mark.timeout(2700)]

FILE = "/var/snap/headframe/redis/README"
PLANS = "infra.hosts --attached plan"
APPLIES = "infra.hosts --attached apply"
PROVIDER = "infra.provider"


@pytest.fixture
def broken(settled: Lab) -> Lab:
    """A control host with one file that a run has to repair."""
    settled.fleet.ssh(settled.control, f"echo broken > {FILE}")
    return settled


def is_whole(lab: Lab) -> bool:
    return "broken" not in lab.fleet.ssh(lab.control, f"cat {FILE}")


@pytest.mark.parametrize(
    ("seen", "killed"),
    [(PLANS, PLANS), (APPLIES, APPLIES), (PLANS, PROVIDER), (APPLIES, PROVIDER)],
    ids=["runner that plans", "runner that applies", "provider while hosts are read", "provider while hosts change"],
)
def test_the_next_run_finishes_what_a_killed_process_left(broken: Lab, seen: str, killed: str) -> None:
    with broken.started("up", "--yes", "--skip-preview") as running:
        running.wait_until_seen(seen)
        running.kill_when_seen(lambda command: killed in command)
        first = running.finish()
    # A machine that could not be read is left as it is, with a warning: it fails nobody's run (D7).
    assert first.status != 0 or is_whole(broken) or f"{broken.control} cannot be read" in first.output, first.output
    assert eventually(lambda: processes_of_home(broken.engine.toolchain.home) == [])

    second = broken.up()
    assert second.status == 0, second.output
    assert is_whole(broken)
    assert second.replaces == []


@pytest.mark.parametrize("seen", [PLANS, APPLIES], ids=["while hosts are read", "while hosts change"])
def test_a_killed_engine_is_recovered_and_the_next_run_repairs(broken: Lab, seen: str) -> None:
    with broken.started("up", "--yes", "--skip-preview") as running:
        running.wait_until_seen(seen)
        running.process.kill()
        running.process.wait()
    assert eventually(lambda: processes_of_home(broken.engine.toolchain.home) == []), "orphans"
    locked = broken.up()
    assert locked.status != 0
    assert "locked" in locked.output

    recovered = subprocess.run(
        [sys.executable, "-m", "infra.cli", "recover"],
        cwd=CLONE,
        env=broken.engine.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert recovered.returncode == 0, recovered.stdout + recovered.stderr
    assert not broken.state()["deployment"].get("pending_operations")

    done = broken.up()
    assert done.status == 0, done.output
    assert is_whole(broken)
    assert done.replaces == []

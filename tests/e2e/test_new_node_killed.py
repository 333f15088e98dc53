"""A creation that is killed again and again is finished by the update that is let run; others notice nothing."""

from __future__ import annotations

import pytest

from tests.support.engine import eventually
from tests.support.further_node import further_node
from tests.support.lab import HOST, Lab, Run, processes_of_home
from tests.support.lab_kills import kill_the_engine, recover

pytestmark = [pytest.mark.e2e, pytest.mark.host, pytest.mark.timeout(2700)]

NAME, ADDRESS = "gpu-2", "198.18.0.14"
#: Only the new machine has anything to be applied.
APPLIES = "infra.hosts --attached apply"
PROVIDER = "infra.provider"
#: The kubeconfig of all clusters, on the control host, learns the new one.
MERGED_KUBECONFIG = "control-tools"


def test_a_creation_survives_the_death_of_runner_provider_and_engine(settled: Lab) -> None:
    with further_node(settled, NAME, ADDRESS) as lab:
        for victim in (APPLIES, PROVIDER):
            first = killed_while_it_applies(lab, victim)
            assert first.status != 0, first.output
        kill_the_engine(lab, APPLIES)
        recover(lab)
        done = lab.up()
        assert done.status == 0, done.output
        assert done.replaces == []
        assert touched_others(lab, done) == []
        machine = next(entry for entry in lab.resources(HOST) if entry["urn"].endswith(f"::{NAME}"))
        assert (machine["outputs"]["reachable"], machine["outputs"]["drift"]) == (True, [])
        further = lab.preview()
        assert (further.status, further.changed) == (0, []), further.output


def killed_while_it_applies(lab: Lab, victim: str) -> Run:
    with lab.started("up", "--yes", "--skip-preview") as running:
        running.wait_until_seen(APPLIES)
        running.kill_when_seen(lambda command: victim in command)
        done = running.finish()
    assert eventually(lambda: processes_of_home(lab.engine.toolchain.home) == []), "orphans"
    assert touched_others(lab, done) == []
    return done


def touched_others(lab: Lab, run: Run) -> list[tuple[str, str]]:
    """Changes on machines that were there before, or on what runs there."""
    others = {host.name for host in lab.fleet.hosts} - {NAME}
    changed = [(operation, name) for operation, name in run.changed if name != MERGED_KUBECONFIG]
    return [(operation, name) for operation, name in changed if any(name.startswith(other) for other in others)]

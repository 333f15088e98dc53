"""What the public base of subclass files does where a file overrides nothing (spec: gepetto 24.7 B)."""

from __future__ import annotations

import pytest

from app.compat.strategy import Gepetto
from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.intents import Swap
from app.gepetto.decision.virtual import VirtualFleet
from app.gepetto.strategies.base import Context
from app.gepetto.world.columns import build_columns
from app.gepetto.world.snapshot import Snapshot
from app.gepetto.world.views import JobView
from tests.support.gepetto import HOTKEY, make_chute, make_deployment, make_server, make_snapshot

RICH, POOR = (
    make_chute(0, m_eff=9.0, m_target=9.0, bounty=True),
    make_chute(1, m_eff=0.1, m_target=0.1, global_active=9),
)


def gepetto(snapshot: Snapshot) -> Gepetto:
    found = Gepetto()
    columns = build_columns(snapshot)
    found.ctx = Context(snapshot, Configuration(), columns, VirtualFleet(snapshot, columns, Configuration()))
    return found


def test_a_copy_goes_to_the_default_s_server_if_that_has_the_disk() -> None:
    small, large = make_server(0, disk_free_gb=50.0), make_server(1, disk_free_gb=500.0, hourly_cost=9.0)
    base = gepetto(make_snapshot((small, large), (RICH,)))
    assert base.optimal_scale_up_server(RICH) == small
    assert base.optimal_scale_up_server(RICH, disk_gb=100) == large
    assert base.optimal_scale_up_server(RICH, disk_gb=900) is None


def test_it_preempts_as_the_default_does_and_ends_nothing_of_its_own() -> None:
    full = make_server(free_mask=0, gpu_total=1)
    row = make_deployment("poor", full, POOR, 1)
    base = gepetto(make_snapshot((full,), (RICH, POOR), (row,)))
    swap = base.preempting_deploy(RICH)
    assert isinstance(swap, Swap)
    assert swap.victims == ("poor",)
    assert base.optimal_scale_down_deployment(POOR) is None
    assert base.reconcile() == []
    assert base._autoscale() is None


@pytest.mark.parametrize(("excluded", "wanted"), [(frozenset({"5Other"}), True), (frozenset({HOTKEY}), False)])
def test_it_takes_jobs_bounties_and_new_chutes_unless_something_forbids_it(
    excluded: frozenset[str], wanted: bool
) -> None:
    base = gepetto(make_snapshot((make_server(),), (RICH, POOR)))
    job = JobView("job", RICH.id, 1, 1.0, 0.0, excluded=excluded)
    assert base.job_created(job) is wanted
    assert base.run_job(RICH, job, make_server())
    assert (base.bounty_changed(RICH), base.bounty_changed(POOR)) == (True, False)
    assert base.chute_created(RICH)
    assert not base.chute_created(make_chute(2, has_cords=False))
    assert (base.scale_chute(RICH, 0), base.scale_chute(RICH, 2), base.scale_chute(RICH, 0, preempt=True)) == (
        False, True, True,
    )  # fmt: skip

"""Preemption against a search through every set of victims: no short cut of it loses a swap (spec: gepetto 22.6)."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from app.gepetto.decision.configuration import Configuration, WarmUpConfiguration
from app.gepetto.decision.valuation import SwapCandidate, most_loss
from app.gepetto.decision.victims import Victims, may_be_victim
from app.gepetto.decision.virtual import VirtualFleet
from app.gepetto.world.columns import build_columns
from app.gepetto.world.snapshot import Snapshot
from app.gepetto.world.views import DeploymentState, DeploymentView
from tests.support.gepetto import NOW, make_chute, make_deployment, make_server, make_snapshot

QUIET = Configuration(warm_up=WarmUpConfiguration(enabled=False))

copies = st.lists(
    st.tuples(
        st.floats(0.05, 3),
        st.sampled_from([None, NOW - 100, NOW - 3700, NOW - 9000]),
        st.sampled_from([DeploymentState.ACTIVE, DeploymentState.ACTIVE, DeploymentState.DRAINING]),
        st.tuples(st.booleans(), st.booleans(), st.booleans()),
        st.integers(1, 3),
    ),
    min_size=6,
    max_size=6,
)


def world(rows: list[tuple[float, float | None, DeploymentState, tuple[bool, bool, bool], int]], gpus: int) -> Snapshot:
    """Two servers with one free GPU each; a row's flags are preemptible, public, job."""
    servers = tuple(make_server(i, free_mask=0x80) for i in range(2))
    wanted = make_chute(0, gpu_count=gpus, m_eff=2.0, m_target=2.0)
    others, deployments = {}, []
    for i, (multiplier, activated_at, state, (preemptible, public, job), everywhere) in enumerate(rows):
        chute = make_chute(1 + i // 2, m_eff=multiplier, target=0, global_active=everywhere)
        others[chute.id] = chute
        deployments.append(
            make_deployment(
                f"d{i}", servers[i % 2], chute, 1 << i, multiplier=multiplier, activated_at=activated_at, state=state,
                preemptible=preemptible, public=public, job_id="job" if job else None,
            )
        )  # fmt: skip
    return make_snapshot(servers, (wanted, *others.values()), tuple(deployments))


def spare(snapshot: Snapshot, victims: tuple[DeploymentView, ...]) -> bool:
    active = {chute.id: chute.global_active for chute in snapshot.chutes}
    for victim in victims:
        active[victim.chute_id] -= 1
    return all(left >= 1 for chute_id, left in active.items() if any(v.chute_id == chute_id for v in victims))


@settings(max_examples=150, deadline=None)
@given(rows=copies, gpus=st.sampled_from([1, 2, 4, 8]))
def test_the_chosen_victims_lose_least_of_all_sets_that_pay_on_any_server(
    rows: list[tuple[float, float | None, DeploymentState, tuple[bool, bool, bool], int]], gpus: int
) -> None:
    snapshot = world(rows, gpus)
    fleet = VirtualFleet(snapshot, build_columns(snapshot), QUIET)
    fleet.free[:] = [server.free for server in snapshot.servers] if gpus > 1 else 0
    wanted, expected = snapshot.chutes[0], fleet.expected
    candidate = SwapCandidate(
        wanted.m_eff, wanted.m_target, float(expected.start_seconds[0]), float(expected.hours[0]),
        float(expected.success[0]),
    )  # fmt: skip
    most = min(wanted.m_eff, most_loss(candidate, QUIET))
    paying = []
    for row, server in enumerate(snapshot.servers):
        here = [d for d in snapshot.deployments if d.server_id == server.id and may_be_victim(d, NOW, QUIET)]
        for size in range(1, len(here) + 1):
            for victims in combinations(here, size):
                loss = sum(victim.multiplier for victim in victims)
                freed = sum(victim.gpu_count for victim in victims)
                if freed + int(fleet.free[row]) >= gpus and loss < most and spare(snapshot, victims):
                    paying.append(loss)
    swap = Victims(snapshot, fleet).choose(0)
    assert (swap is None) == (not paying)
    if swap is not None:
        by_id = {row.id: row for row in snapshot.deployments}
        assert abs(sum(by_id[victim].multiplier for victim in swap.victims) - min(paying)) < 1e-9


def test_of_more_copies_than_are_weighed_the_cheapest_per_gpu_are_offered() -> None:
    server = make_server(free_mask=0, gpu_total=16)
    others = [make_chute(i, m_eff=0.1 * i, global_active=3) for i in range(1, 11)]
    rows = tuple(make_deployment(f"d{i}", server, chute, 1 << i) for i, chute in enumerate(others))
    snapshot = make_snapshot((server,), (make_chute(0, m_eff=9.0), *others), rows)
    victims = Victims(snapshot, VirtualFleet(snapshot, build_columns(snapshot), QUIET))
    assert [row.id for row in victims.by_server[0]] == [f"d{i}" for i in range(8)]

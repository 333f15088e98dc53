"""Rules 8 to 11 of the behaviour checklist (spec: gepetto 27); the numbers stand in the names."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.gepetto.decision.configuration import (
    ChuteOverride,
    Configuration,
    PlacementConfiguration,
    ServerOverride,
    StrategyName,
    SwapConfiguration,
    WarmUpConfiguration,
)
from app.gepetto.decision.decide import decide
from app.gepetto.decision.eligibility import ServerObstacle, chute_obstacles, server_obstacles
from app.gepetto.decision.gate import Spent, pass_gate
from app.gepetto.decision.intents import DrainServer, Intent, Launch, NoOp, Swap, Terminate
from app.gepetto.decision.memory import Memory
from app.gepetto.world.snapshot import Snapshot
from app.gepetto.world.views import ChuteView, Failure, JobView, ServerView, Source
from tests.support.gepetto import HOTKEY, NOW, make_chute, make_deployment, make_server, make_snapshot

ALL = tuple(StrategyName)
QUIET = Configuration(warm_up=WarmUpConfiguration(enabled=False))


def configured(strategy: StrategyName, **changes: object) -> Configuration:
    return QUIET.model_copy(update={"strategy": strategy, **changes})


def launches(intents: tuple[Intent, ...]) -> list[Launch]:
    return [intent for intent in intents if isinstance(intent, Launch)]


def plan(snapshot: Snapshot, configuration: Configuration = QUIET) -> tuple[Intent, ...]:
    return decide(snapshot, configuration, Memory())[0]


@pytest.mark.parametrize("strategy", ALL)
@pytest.mark.parametrize(
    "chute",
    [
        pytest.param(make_chute(banned=True), id="banned"),
        pytest.param(make_chute(is_cpu=True), id="cpu chute"),
        pytest.param(make_chute(has_cords=False), id="no cords"),
        pytest.param(make_chute(scalable=False), id="blocked"),
        pytest.param(make_chute(update_in_progress=True), id="updating"),
        pytest.param(make_chute(disabled=True), id="disabled"),
        pytest.param(make_chute(tee=False), id="TEE mismatch"),
        pytest.param(make_chute(gpu_types=frozenset({"h200"})), id="unsupported GPU"),
        pytest.param(make_chute(refuse_until=NOW + 10), id="negative cache active"),
        pytest.param(make_chute(my_pending=2), id="allowance exhausted by own pending"),
        pytest.param(make_chute(m_eff=0.0), id="worthless"),
        pytest.param(make_chute(max_instances=1), id="most instances reached"),
        pytest.param(make_chute(public=False, live=0), id="cold private without bounty"),
    ],
)
def test_27_08_a_chute_that_may_not_run_is_never_launched(strategy: StrategyName, chute: ChuteView) -> None:
    snapshot = make_snapshot((make_server(),), (chute,))
    assert launches(plan(snapshot, configured(strategy))) == []
    reasons = chute_obstacles(chute, NOW, QUIET)
    assert reasons or server_obstacles(snapshot, chute, snapshot.servers[0], QUIET)


@pytest.mark.parametrize("strategy", ALL)
@pytest.mark.parametrize(
    "server",
    [
        pytest.param(make_server(free_mask=0), id="unverified or used GPUs"),
        pytest.param(make_server(locked=True), id="locked server"),
        pytest.param(make_server(maintenance_at=NOW + 60), id="maintenance pending"),
        pytest.param(make_server(healthy=False), id="unhealthy cluster"),
        pytest.param(make_server(disk_free_gb=5), id="disk short"),
        pytest.param(make_server(vm_version=(0, 1, 9)), id="VM too old"),
        pytest.param(make_server(vm_version=None), id="VM unknown"),
        pytest.param(make_server(quarantine_until=NOW + 60), id="quarantine"),
        pytest.param(make_server(starts_in_progress=2), id="too many starts"),
        pytest.param(make_server(validator="another"), id="other validator"),
    ],
)
def test_27_08_a_server_that_may_not_be_used_gets_nothing(strategy: StrategyName, server: ServerView) -> None:
    snapshot = make_snapshot((server,), (make_chute(),))
    assert launches(plan(snapshot, configured(strategy))) == []
    assert server_obstacles(snapshot, snapshot.chutes[0], server, QUIET)


@pytest.mark.parametrize("strategy", ALL)
def test_27_08_what_passes_every_filter_is_launched(strategy: StrategyName) -> None:
    snapshot = make_snapshot((make_server(),), (make_chute(),))
    assert chute_obstacles(snapshot.chutes[0], NOW, QUIET) == ()
    assert server_obstacles(snapshot, snapshot.chutes[0], snapshot.servers[0], QUIET) == ()
    (first, *_) = launches(plan(snapshot, configured(strategy)))
    assert (first.server_id, first.gpu_mask.bit_count()) == ("server-000", 1)


def test_27_08_a_pair_that_failed_lately_is_left_alone_and_others_are_not() -> None:
    servers = (make_server(0), make_server(1))
    snapshot = make_snapshot(servers, (make_chute(),), failures=(Failure("server-000", "chute-000", 2, NOW + 100),))
    assert {launch.server_id for launch in launches(plan(snapshot))} == {"server-001"}
    assert ServerObstacle.FAILED_LATELY in server_obstacles(snapshot, snapshot.chutes[0], servers[0], QUIET)


def test_27_08_overrides_ban_limit_pin_and_reserve() -> None:
    servers = (make_server(0), make_server(1))
    chutes = (make_chute(0), make_chute(1))
    changes = {
        "chutes": {"chute-000": ChuteOverride(max_copies=1, pin_to=frozenset({"node-001"}), weight=2.0)},
        "servers": {"node-000": ServerOverride(reserve_for=frozenset({"chute-001"}))},
    }
    planned = launches(plan(make_snapshot(servers, chutes), QUIET.model_copy(update=changes)))
    assert [launch.server_id for launch in planned if launch.chute_id == "chute-000"] == ["server-001"]
    banned = QUIET.model_copy(update={"chutes": {"chute-000": ChuteOverride(ban=True)}})
    assert {launch.chute_id for launch in launches(plan(make_snapshot(servers, chutes), banned))} == {"chute-001"}


@pytest.mark.parametrize("source", ["chutes", "utilization", "instances", "database"])
def test_27_08_nothing_is_launched_on_stale_sources(source: str) -> None:
    snapshot = make_snapshot((make_server(),), (make_chute(),))
    for broken in (Source(), Source(NOW - 3600, complete=True), Source(NOW, complete=False)):
        intents = plan(replace(snapshot, sources={**snapshot.sources, source: broken}))
        assert [type(intent) for intent in intents] == [NoOp]


def test_27_09_the_cheapest_server_wins_then_the_tightest() -> None:
    cheap_wide, cheap_tight, dear = make_server(0, free_mask=0x7F), make_server(1, free_mask=0x3), make_server(2)
    dear = replace(dear, hourly_cost=9.0, free_mask=0x1)
    snapshot = make_snapshot((cheap_wide, cheap_tight, dear), (make_chute(max_instances=2),))
    assert launches(plan(snapshot))[0].server_id == "server-001"


def test_27_09_a_cached_model_attracts_and_whole_servers_are_kept_whole() -> None:
    whole = make_server(0, cached_chutes={"chute-000": 10})
    broken = make_server(1, free_mask=0x7F)
    cached = make_server(2, free_mask=0x7F, cached_chutes={"chute-000": 10}, hourly_cost=3.0)
    snapshot = make_snapshot((whole, broken, cached), (make_chute(max_instances=2),))
    assert launches(plan(snapshot))[0].server_id == "server-002"


def test_27_09_servers_that_cost_nothing_are_used_and_the_choice_is_deterministic() -> None:
    servers = tuple(make_server(i, hourly_cost=0.0) for i in range(4))
    snapshot = make_snapshot(servers, tuple(make_chute(i) for i in range(6)), seed=7)
    for strategy in ALL:
        configuration = configured(strategy)
        first, second = plan(snapshot, configuration), plan(snapshot, configuration)
        assert first == second
        assert launches(first)


def test_27_09_gpus_are_taken_from_one_half_of_the_server_where_possible() -> None:
    snapshot = make_snapshot((make_server(free_mask=0b1111_0011),), (make_chute(gpu_count=2, max_instances=2),))
    assert launches(plan(snapshot))[0].gpu_mask == 0b0000_0011


def full_server(earns: float, **changes: object) -> Snapshot:
    """One server of eight GPUs with two four-GPU copies of other chutes, and a better chute that wants in."""
    server = make_server(free_mask=0)
    old = make_chute(1, gpu_count=4, m_eff=earns, m_target=earns, global_active=5, target=0, live=5)
    other = replace(old, id="chute-002")
    wanted = make_chute(0, gpu_count=4, m_eff=2.0, m_target=2.0)
    rows = (
        make_deployment("a", server, old, 0x0F, **changes),
        make_deployment("b", server, other, 0xF0, **changes),
    )
    return make_snapshot((server,), (wanted, old, other), rows)


def swaps(intents: tuple[Intent, ...]) -> list[Swap]:
    return [intent for intent in intents if isinstance(intent, Swap)]


def test_27_10_the_cheapest_paid_victim_is_swapped_for_a_much_better_chute() -> None:
    snapshot = full_server(0.5)
    cheaper = replace(snapshot.deployments[1], multiplier=0.3)
    snapshot = replace(snapshot, deployments=(snapshot.deployments[0], cheaper))
    (swap,) = swaps(plan(snapshot))
    assert swap.victims == ("b",)
    assert swap.launch.gpu_mask == 0xF0
    assert swap.gain > 0
    allowed, refused, _ = pass_gate(snapshot, (swap,), QUIET, Spent())
    assert (allowed, refused) == ((swap,), ())


VIOLATIONS: dict[str, dict[str, object]] = {
    "a job": {"job_id": "job"},
    "not preemptible": {"preemptible": False},
    "private": {"public": False},
    "not yet paid": {"activated_at": NOW - 3700},
    "earns as much": {"multiplier": 2.0},
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_27_10_no_strategy_and_no_gate_ends_a_protected_copy(name: str) -> None:
    snapshot = full_server(0.5, **VIOLATIONS[name])
    snapshot = replace(snapshot, chutes=(replace(snapshot.chutes[0], bounty=True), *snapshot.chutes[1:]))
    for strategy in ALL:
        assert swaps(plan(snapshot, configured(strategy))) == []
    forced = Swap(("a",), Launch("chute-000", "1", "server-000", 0x0F))
    allowed, refused, _ = pass_gate(snapshot, (forced,), QUIET, Spent())
    assert allowed == ()
    assert refused[0].reason


def test_27_10_two_victims_that_together_earn_as_much_are_kept() -> None:
    snapshot = full_server(1.1)
    wanted = replace(snapshot.chutes[0], gpu_count=8)
    snapshot = replace(snapshot, chutes=(wanted, *snapshot.chutes[1:]))
    for strategy in (StrategyName.SHADOW_PRICE, StrategyName.GREEDY_VALUE, StrategyName.MATCHING):
        assert swaps(plan(snapshot, configured(strategy))) == []
    forced = Swap(("a", "b"), Launch("chute-000", "1", "server-000", 0xFF))
    assert pass_gate(snapshot, (forced,), QUIET, Spent())[0] == ()


def test_27_10_two_copies_of_one_chute_are_not_both_ended_when_they_are_the_last_two() -> None:
    server = make_server(free_mask=0)
    old = make_chute(1, gpu_count=4, m_eff=0.3, m_target=0.3, global_active=2, target=0, live=2)
    wanted = make_chute(0, gpu_count=8, m_eff=5.0, m_target=5.0)
    rows = (make_deployment("a", server, old, 0x0F), make_deployment("b", server, old, 0xF0))
    snapshot = make_snapshot((server,), (wanted, old), rows)
    assert swaps(plan(snapshot)) == []
    assert (
        pass_gate(snapshot, (Swap(("a", "b"), Launch("chute-000", "1", "server-000", 0xFF)),), QUIET, Spent())[0] == ()
    )
    spare = replace(snapshot, chutes=(wanted, replace(old, global_active=3)))
    assert len(swaps(plan(spare))) == 1


def test_27_10_the_conservative_strategy_never_preempts() -> None:
    assert swaps(plan(full_server(0.1), configured(StrategyName.CONSERVATIVE))) == []


def test_27_10_swaps_stop_at_the_destructive_budget() -> None:
    snapshot = full_server(0.3)
    swap = Swap(("a",), Launch("chute-000", "1", "server-000", 0x0F))
    _, refused, _ = pass_gate(snapshot, (swap,), QUIET, Spent(copies=(NOW - 5,)))
    assert "budget" in refused[0].reason
    approved = QUIET.model_copy(update={"safety": QUIET.safety.model_copy(update={"approved_until": NOW + 60})})
    assert pass_gate(snapshot, (swap,), approved, Spent(copies=(NOW - 5,)))[0] == (swap,)


def test_27_10_a_server_that_is_being_taken_out_goes_on_and_no_other_one_joins_it() -> None:
    snapshot = make_snapshot((make_server(0), make_server(1)), ())
    first, second = DrainServer("server-000"), DrainServer("server-001")
    allowed, refused, spent = pass_gate(snapshot, (first, second), QUIET, Spent())
    assert (allowed, [item.intent for item in refused]) == ((first,), [second])
    allowed, refused, _ = pass_gate(snapshot, (second, first), QUIET, spent)
    assert (allowed, [item.intent for item in refused]) == ((first,), [second])


worlds = st.builds(
    lambda frees, chutes, seed: make_snapshot(
        tuple(make_server(i, free_mask=mask, hourly_cost=cost) for i, (mask, cost) in enumerate(frees)),
        tuple(
            make_chute(
                i, gpu_count=gpus, m_eff=m, m_target=m, target=target, live=live, my_pending=pending, public=public
            )
            for i, (gpus, m, target, live, pending, public) in enumerate(chutes)
        ),
        seed=seed,
    ),
    st.lists(st.tuples(st.integers(0, 255), st.sampled_from([0.0, 1.0, 2.5])), min_size=1, max_size=4),
    st.lists(
        st.tuples(
            st.sampled_from([1, 2, 4, 8]),
            st.floats(0.05, 5),
            st.integers(0, 4),
            st.integers(0, 4),
            st.integers(0, 2),
            st.booleans(),
        ),
        min_size=1,
        max_size=6,
    ),
    st.integers(0, 99),
)


@settings(max_examples=60, deadline=None)
@given(snapshot=worlds, strategy=st.sampled_from(ALL))
def test_27_08_launches_never_share_gpus_and_never_exceed_the_room(snapshot: Snapshot, strategy: StrategyName) -> None:
    intents = plan(snapshot, configured(strategy))
    taken: dict[str, int] = {}
    servers = {server.id: server for server in snapshot.servers}
    counts: dict[str, int] = {}
    for launch in launches(intents):
        assert launch.gpu_mask & ~servers[launch.server_id].free_mask == 0
        assert launch.gpu_mask & taken.get(launch.server_id, 0) == 0
        taken[launch.server_id] = taken.get(launch.server_id, 0) | launch.gpu_mask
        counts[launch.chute_id] = counts.get(launch.chute_id, 0) + 1
    for chute in snapshot.chutes:
        room = (chute.target or 0) + 1 - chute.live if chute.public else max(0, (chute.target or 0) - chute.live)
        assert counts.get(chute.id, 0) <= max(0, room - chute.my_pending)
    assert pass_gate(snapshot, intents, QUIET, Spent())[1] == ()


@settings(max_examples=60, deadline=None)
@given(snapshot=worlds, strategy=st.sampled_from(ALL), data=st.data())
def test_27_09_incremental_decisions_equal_full_ones(
    snapshot: Snapshot, strategy: StrategyName, data: st.DataObject
) -> None:
    configuration = configured(strategy)
    _, memory = decide(snapshot, configuration, Memory())
    for _ in range(data.draw(st.integers(1, 3))):
        i = data.draw(st.integers(0, len(snapshot.chutes) - 1))
        j = data.draw(st.integers(0, len(snapshot.servers) - 1))
        changed = replace(snapshot.chutes[i], m_eff=data.draw(st.floats(0.1, 4)), live=data.draw(st.integers(0, 3)))
        server = replace(snapshot.servers[j], free_mask=data.draw(st.integers(0, 255)), cached_chutes={changed.id: 1})
        snapshot = replace(
            snapshot,
            now=snapshot.now + 1,
            chutes=(*snapshot.chutes[:i], changed, *snapshot.chutes[i + 1 :]),
            servers=(*snapshot.servers[:j], server, *snapshot.servers[j + 1 :]),
        )
        incremental, memory = decide(snapshot, configuration, memory)
        assert incremental == decide(snapshot, configuration, replace(memory, columns=None, notes={}))[0]


rows = st.lists(
    st.tuples(
        st.floats(0.05, 3),
        st.sampled_from([None, NOW - 100, NOW - 3700, NOW - 9000]),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.integers(1, 3),
    ),
    min_size=8,
    max_size=8,
)


@settings(max_examples=80, deadline=None)
@given(rows=rows, gpus=st.sampled_from([1, 2, 4, 8]), m_eff=st.floats(0.1, 9), strategy=st.sampled_from(ALL))
def test_27_10_every_swap_obeys_every_hard_rule(
    rows: list[tuple[float, float | None, bool, bool, bool, int]], gpus: int, m_eff: float, strategy: StrategyName
) -> None:
    server = make_server(free_mask=0)
    wanted = make_chute(0, gpu_count=gpus, m_eff=m_eff, m_target=m_eff, bounty=True)
    others, deployments = [], []
    for i, (multiplier, activated_at, preemptible, public, job, global_active) in enumerate(rows, start=1):
        chute = make_chute(1 + i // 2, m_eff=multiplier, target=0, global_active=global_active)
        others.append(chute)
        deployments.append(
            make_deployment(
                f"d{i}",
                server,
                chute,
                1 << (i - 1),
                multiplier=multiplier,
                activated_at=activated_at,
                preemptible=preemptible,
                public=public,
                job_id="job" if job else None,
            )
        )
    unique = tuple({chute.id: chute for chute in others}.values())
    snapshot = make_snapshot((server,), (wanted, *unique), tuple(deployments))
    by_id = {row.id: row for row in deployments}
    active = {chute.id: chute.global_active for chute in unique}
    for swap in swaps(plan(snapshot, configured(strategy))):
        victims = [by_id[victim] for victim in swap.victims]
        assert sum(victim.gpu_count for victim in victims) >= gpus
        for victim in victims:
            assert victim.job_id is None
            assert victim.public
            assert victim.preemptible
            assert victim.activated_at is not None
            assert NOW - victim.activated_at >= 3600
            active[victim.chute_id] -= 1
        assert all(left >= 1 for left in active.values()) or all(active[v.chute_id] >= 1 for v in victims)
        if strategy is not StrategyName.UPSTREAM_COMPAT:
            assert sum(victim.multiplier for victim in victims) < m_eff


@settings(max_examples=40, deadline=None)
@given(snapshot=worlds, strategy=st.sampled_from(ALL), extra=st.integers(0, 5))
def test_27_11_healthy_copies_beyond_any_target_are_never_ended(
    snapshot: Snapshot, strategy: StrategyName, extra: int
) -> None:
    chute = replace(snapshot.chutes[0], gpu_count=1, my_active=8, live=8 + extra, target=0, allowance=0)
    server = replace(snapshot.servers[0], free_mask=0)
    deployments = tuple(make_deployment(f"d{i}", server, chute, 1 << i, version="an old version") for i in range(8))
    full = make_snapshot((server, *snapshot.servers[1:]), (chute, *snapshot.chutes[1:]), deployments)
    configuration = configured(strategy, swap=SwapConfiguration(enabled=False))
    memory = Memory()
    for step in range(3):
        moment = replace(full, now=NOW + step, sources={k: Source(NOW + step, complete=True) for k in full.sources})
        intents, memory = decide(moment, configuration, memory)
        assert [intent for intent in intents if isinstance(intent, Terminate | Swap)] == []


def test_27_11_a_chute_that_vanished_from_the_list_keeps_its_copies() -> None:
    server, chute = make_server(free_mask=0xFE), make_chute()
    snapshot = make_snapshot((server,), (), (make_deployment("a", server, chute, 1),))
    assert plan(snapshot) == ()


def test_jobs_go_first_and_exclusion_is_obeyed() -> None:
    chute = make_chute(has_cords=False)
    jobs = (
        JobView("mine", chute.id, 1, 3.0, NOW, disk_gb=50),
        JobView("excluded", chute.id, 1, 3.0, NOW, excluded=frozenset({HOTKEY})),
    )
    planned = launches(plan(make_snapshot((make_server(),), (chute,), jobs=jobs)))
    assert [(launch.job_id, launch.disk_gb) for launch in planned] == [("mine", 50)]


def test_scarce_types_are_spared_for_chutes_that_need_them() -> None:
    servers = (make_server(0, gpu_type="b200", free_mask=1, hourly_cost=0.1), make_server(1, free_mask=1))
    flexible = make_chute(0, gpu_types=frozenset({"b200", "pro_6000"}), m_eff=2.0, m_target=2.0, max_instances=2)
    picky = make_chute(1, gpu_types=frozenset({"b200"}), m_eff=1.5, m_target=1.5, max_instances=2)
    planned = launches(plan(make_snapshot(servers, (flexible, picky))))
    assert {(launch.chute_id, launch.server_id) for launch in planned} == {
        ("chute-000", "server-001"),
        ("chute-001", "server-000"),
    }


def test_a_reserve_keeps_whole_servers_for_a_large_chute_near_its_target() -> None:
    servers = (make_server(0), make_server(1, free_mask=0x1))
    large = make_chute(0, gpu_count=8, m_eff=90.0, m_target=90.0, target=0, live=1, utilization=0.95)
    small = make_chute(1, target=3)
    snapshot = make_snapshot(servers, (large, small))
    placement = PlacementConfiguration(reserve_whole_servers=1)
    with_reserve = launches(plan(snapshot, configured(StrategyName.SHADOW_PRICE, placement=placement)))
    assert {launch.server_id for launch in with_reserve} == {"server-001"}
    assert {launch.server_id for launch in launches(plan(snapshot))} == {"server-000", "server-001"}

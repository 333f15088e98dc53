"""Which order of chutes fills the free GPUs best, and that racers get what is left (spec: gepetto 22.4, 22.5)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.gepetto.decision.configuration import (
    Configuration,
    PlacementConfiguration,
    StrategyName,
    WarmUpConfiguration,
)
from app.gepetto.decision.decide import decide
from app.gepetto.decision.intents import Launch, Swap
from app.gepetto.decision.memory import Memory
from app.gepetto.strategies.base import Context
from app.gepetto.strategies.packing import Wish, lay_out
from app.gepetto.strategies.shadow_price import ShadowPrice
from app.gepetto.world.columns import Floats
from app.gepetto.world.snapshot import Snapshot
from app.gepetto.world.views import ChuteView, Failure
from tests.support.gepetto import NOW, make_chute, make_deployment, make_server, make_snapshot

QUIET = Configuration(warm_up=WarmUpConfiguration(enabled=False))
MANY_STARTS = PlacementConfiguration(starts_per_server=8)
wishes = st.lists(
    st.builds(
        Wish,
        gpus=st.sampled_from([1, 2, 4, 8]),
        types=st.sampled_from([(0,), (1,), (0, 1), (1, 0)]),
        copies=st.integers(0, 6),
        rate=st.floats(0.1, 3.0),
    ),
    max_size=8,
)
servers = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8)), max_size=6)


def one_by_one(wanted: list[Wish], known: list[tuple[int, int]]) -> float:
    """The same by servers with names: each copy on the tightest one, of the first type that has any."""
    free = [list(server) for server in known]
    income = 0.0
    for wish in wanted:
        for _ in range(wish.copies):
            fitting = [
                (wish.types.index(server[0]), server[1], server)
                for server in free
                if server[0] in wish.types and server[1] >= wish.gpus
            ]
            if fitting:
                min(fitting, key=lambda found: found[:2])[2][1] -= wish.gpus
                income += wish.gpus * wish.rate
    return income


@given(wishes, servers)
def test_counting_alike_servers_earns_what_placing_copies_one_by_one_does(
    wanted: list[Wish], known: list[tuple[int, int]]
) -> None:
    assert lay_out(wanted, known, 2).income == pytest.approx(one_by_one(wanted, known))


@given(wishes, servers)
def test_splinters_are_free_gpus_beside_a_large_wish_that_fits_on_none(
    wanted: list[Wish], known: list[tuple[int, int]]
) -> None:
    if not any(wish.gpus > 1 and wish.copies for wish in wanted) or not any(free for _, free in known):
        assert not lay_out(wanted, known, 2).splinters
    if known and all(free == 1 for _, free in known):
        lone = lay_out([Wish(2, (0, 1), 1, 1.0)], known, 2)
        assert lone.splinters
        assert lone.income == 0.0


def launches(snapshot: Snapshot, strategy: StrategyName = StrategyName.SHADOW_PRICE) -> list[Launch]:
    planned = decide(snapshot, QUIET.model_copy(update={"strategy": strategy}), Memory())[0]
    return [intent for intent in planned if isinstance(intent, Launch)]


def test_a_large_chute_goes_first_where_small_ones_would_leave_it_no_server_and_gpus_idle() -> None:
    """Three small copies earn more per GPU but want three of eight GPUs: the large chute then fits nowhere."""
    small = make_chute(0, m_eff=1.0, m_target=1.0, target=4, live=1)
    large = make_chute(1, gpu_count=8, m_eff=7.2, m_target=7.2)
    snapshot = make_snapshot((make_server(),), (small, large))
    assert [one.chute_id for one in launches(snapshot, StrategyName.GREEDY_VALUE)] == ["chute-000"] * 2
    assert [one.chute_id for one in launches(snapshot)] == ["chute-001"]


def test_small_copies_that_fill_the_server_and_earn_more_per_gpu_go_first() -> None:
    small = make_chute(0, m_eff=1.0, m_target=1.0, target=9, live=1)
    large = make_chute(1, gpu_count=8, m_eff=7.2, m_target=7.2)
    snapshot = make_snapshot((make_server(),), (small, large))
    assert {one.chute_id for one in launches(snapshot)} == {"chute-000"}


def crowded() -> Snapshot:
    """Five copies of one GPU at 3.0 and a racer, four of two at 1.0 each, and one of all eight GPUs at 2.8 each."""
    small = make_chute(0, m_eff=3.0, m_target=3.0, target=6)
    middle = make_chute(1, gpu_count=2, m_eff=2.0, m_target=2.0, target=5)
    large = make_chute(2, gpu_count=8, m_eff=22.4, m_target=22.4)
    return make_snapshot((make_server(),), (small, middle, large))


def started(snapshot: Snapshot, strategy: ShadowPrice) -> list[str]:
    planned = decide(snapshot, QUIET.model_copy(update={"placement": MANY_STARTS}), Memory(), strategy)[0]
    return sorted(intent.chute_id for intent in planned if isinstance(intent, Launch))


def test_a_large_chute_that_may_start_nowhere_turns_no_order_round() -> None:
    best = ["chute-000"] * 6 + ["chute-001"]
    assert started(crowded(), ShadowPrice()) == ["chute-002"]
    failed = replace(crowded(), failures=(Failure("server-000", "chute-002", 1, NOW + 60),))
    assert started(failed, ShadowPrice()) == best
    assert started(crowded(), NoLargeOnes()) == best
    alone = replace(failed, servers=(make_server(free_mask=0xF),), chutes=failed.chutes[2:])
    assert started(alone, ShadowPrice()) == []


class NoLargeOnes(ShadowPrice):
    def on_new_chute(self, ctx: Context, chute: ChuteView) -> bool:
        return chute.gpu_count < 8


class OwnScores(ShadowPrice):
    """Whole columns of an operator's own: small ones first, although the large one would earn more in all."""

    def scores(self, ctx: Context) -> Floats:
        return np.asarray([3.0, 1.0, 2.8])


def test_an_operators_own_scores_keep_their_order() -> None:
    assert started(crowded(), OwnScores()) == ["chute-000"] * 6 + ["chute-001"]


class Asked(ShadowPrice):
    """Counts how often it is asked for a chute that is new here."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def on_new_chute(self, ctx: Context, chute: ChuteView) -> bool:
        self.asked.append(chute.id)
        return True


def test_a_hook_is_not_asked_again_for_a_chute_that_has_what_it_wants() -> None:
    one = Asked()
    chute = make_chute(0, tee=False, allowance=1, target=None)
    assert started(make_snapshot((make_server(tee=False),), (chute,)), one) == ["chute-000"]
    assert one.asked == ["chute-000"]


def test_places_within_targets_come_before_racers_that_would_earn_more() -> None:
    better = make_chute(0, m_eff=2.0, m_target=2.0)  # one place, and one racer beyond
    worse = make_chute(1, m_eff=0.5, m_target=0.5)
    snapshot = make_snapshot((make_server(free_mask=0x3),), (better, worse))
    assert sorted(one.chute_id for one in launches(snapshot)) == ["chute-000", "chute-001"]
    assert [one.chute_id for one in launches(snapshot, StrategyName.GREEDY_VALUE)] == ["chute-000"] * 2
    roomy = replace(snapshot, servers=(make_server(free_mask=0x3), make_server(1, free_mask=0x3)))
    assert sorted(one.chute_id for one in launches(roomy)) == ["chute-000"] * 2 + ["chute-001"] * 2


def test_nothing_is_ended_to_make_room_for_a_racer() -> None:
    server = make_server(free_mask=0x0)
    poor = make_chute(0, m_eff=0.3, m_target=0.3, target=9, live=9, global_active=9)
    wanted = make_chute(1, m_eff=2.0, m_target=2.0)
    rows = tuple(make_deployment(f"copy-{gpu}", server, poor, 1 << gpu, multiplier=0.3) for gpu in range(8))
    for target, live, swaps in ((2, 1, 1), (2, 2, 0)):
        chute = replace(wanted, target=target, live=live, global_active=1)
        planned = decide(make_snapshot((server,), (poor, chute), rows), QUIET, Memory())[0]
        assert sum(isinstance(intent, Swap) for intent in planned) == swaps

"""Tenure, risk and concentration against hand-made answers and the simulated chain's own rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.chains import chain
from tracker.concentration import by_holder, concentration
from tracker.risk import (
    Neuron,
    Standing,
    is_order_known,
    pruning_order,
    registrations_per_day,
    risk_of,
)
from tracker.tenure import Life, SeatState, days, lives_of_seat, survival
from tracker.walkback import Registration, Walk


def test_survival_without_censoring_is_the_plain_share() -> None:
    curve = survival([Life(0, 10, True), Life(0, 20, True), Life(0, 30, True), Life(0, 40, True)])
    assert curve.ages == (10, 20, 30, 40)
    assert curve.shares == pytest.approx((0.75, 0.5, 0.25, 0.0))
    assert curve.median_blocks == 20
    assert curve.share_at(15) == 0.75


def test_censored_and_late_lives_count_only_while_they_were_watched() -> None:
    curve = survival([Life(0, 10, True), Life(0, 15, False), Life(12, 20, True), Life(0, 30, False)])
    assert curve.shares == pytest.approx((2 / 3, 2 / 3 * 1 / 2))
    assert curve.share_at(25) is None
    assert (curve.lives, curve.ends) == (4, 2)


def test_ages_with_too_few_watched_are_passed_over() -> None:
    early = [Life(0, 1, True), *[Life(5, 10 + age, True) for age in range(6)]]
    assert survival(early).shares[0] == 0.0
    assert survival(early, minimum_at_risk=5).ages == (10, 11)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.booleans()), max_size=30))
def test_a_survival_curve_never_rises_and_stays_between_0_and_1(rows: list[tuple[int, int, bool]]) -> None:
    curve = survival(Life(entry, entry + length, ended) for entry, length, ended in rows)
    assert all(0 <= share <= 1 for share in curve.shares)
    assert list(curve.shares) == sorted(curve.shares, reverse=True)


def test_a_swap_is_no_new_life_and_a_successor_ends_one() -> None:
    states = [SeatState(100, "a", 40), SeatState(200, "b", 40), SeatState(300, "c", 280), SeatState(400, None, None)]
    assert lives_of_seat(states, 100, 500) == [Life(60, 240, True), Life(0, 120, True)]


def test_a_life_without_a_registration_block_starts_when_it_was_seen() -> None:
    assert lives_of_seat([SeatState(100, "a", None)], 100, 150) == [Life(0, 50, False)]
    assert days(7_200) == 1.0


def standing(netuid: int, block: int) -> Standing:
    subnet = chain().state(block)[netuid]
    neurons = tuple(
        Neuron(uid, hotkey.hex(), subnet.emission[uid], subnet.registered[uid], hotkey == subnet.owner_hotkey)
        for uid, hotkey in enumerate(subnet.hotkeys)
    )
    return Standing(netuid, block, 461, subnet.immunity_blocks, subnet.max_uids, subnet.burn_at(block), neurons)


@pytest.mark.parametrize("netuid", [1, 3, 4])
@pytest.mark.parametrize("block", [5_000_500, 5_004_500, 5_009_997])
def test_the_first_in_the_pruning_order_is_the_chains_own_choice(netuid: int, block: int) -> None:
    assert pruning_order(standing(netuid, block))[0].uid == chain().state(block)[netuid].to_prune(block)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 200)), max_size=40), st.integers(0, 120))
def test_the_pruning_order_is_total_and_never_holds_the_owner(rows: list[tuple[int, int]], immunity: int) -> None:
    neurons = tuple(Neuron(uid, str(uid), *row, is_owner=uid == 0) for uid, row in enumerate(rows))
    state = Standing(1, 200, 461, immunity, 64, 1, neurons)
    ordered = pruning_order(state)
    assert sorted(neuron.uid for neuron in ordered) == list(range(1, len(rows)))
    if ordered:
        rest = Standing(1, 200, 461, immunity, 64, 1, tuple(one for one in neurons if one is not ordered[0]))
        free = [one for one in ordered if 200 - one.registered >= immunity]
        if len(free) > 11 or len(free) < 10:
            assert pruning_order(rest)[:1] == ordered[1:2]


def test_a_risk_says_place_margin_immunity_and_price() -> None:
    neurons = (
        Neuron(0, "owner", 0, 1, is_owner=True),
        *(Neuron(uid, f"h{uid}", 10 * uid, 1) for uid in range(1, 13)),
        Neuron(13, "mine", 1, 190),
    )
    state = Standing(7, 200, 461, 50, 20, 5_000, neurons)
    mine, second, owner = risk_of(state, ["h2", "mine", "owner"], registrations_per_day=2.0)[::1]
    assert [mine.hotkey, second.hotkey, owner.hotkey] == ["h2", "mine", "owner"]
    assert (mine.position, mine.of, mine.margin, mine.free_seats, mine.reentry_rao) == (2, 13, 2.0, 6, 5_000)
    assert mine.days_left == 4.0
    assert second.immune_blocks == 40
    assert owner.position is None
    assert owner.days_left is None


def test_numbers_are_shown_and_no_place_claimed_for_a_runtime_whose_rule_is_not_known() -> None:
    state = Standing(7, 200, 343, 50, 20, 5_000, tuple(Neuron(uid, f"h{uid}", 10, 190) for uid in range(12)))
    (risk,) = risk_of(state, ["h3"], registrations_per_day=2.0)
    assert (risk.position, risk.of, risk.margin, risk.days_left, risk.is_owner) == (None, 0, None, None, False)
    assert (risk.immune_blocks, risk.reentry_rao) == (40, 5_000)


def test_immune_neurons_come_after_free_ones_while_more_than_the_minimum_are_free() -> None:
    free = [Neuron(uid, f"f{uid}", 100 + uid, 1) for uid in range(14)]
    immune = [Neuron(20 + uid, f"i{uid}", uid, 199) for uid in range(3)]
    state = Standing(7, 200, 461, 50, 64, 1, (*immune, *free))
    assert [one.hotkey for one in pruning_order(state)][:7] == ["f0", "f1", "f2", "f3", "i0", "i1", "i2"]
    least = Standing(7, 200, 461, 50, 64, 1, (*immune, *free), minimum_free_uids=12)
    assert [one.hotkey for one in pruning_order(least)][:3] == ["f0", "f1", "i0"]


def test_old_runtimes_have_no_known_order() -> None:
    assert is_order_known(461)
    assert not is_order_known(343)


def test_rates_come_from_exact_counts() -> None:
    assert registrations_per_day({1: 5}, 3_600) == {1: 10.0}
    assert registrations_per_day({1: 5}, 0) == {}


def test_concentration_of_equal_and_unequal_holders() -> None:
    equal = concentration([1, 1, 1, 1])
    assert (equal.holders, equal.hhi, equal.gini, equal.largest_share) == (4, 0.25, 0.0, 0.25)
    one = concentration([0, 0, 9])
    assert (one.holders, one.hhi, one.largest_share) == (1, 1.0, 1.0)
    assert concentration([]).holders == 0
    assert concentration([1, 3]).gini == pytest.approx(0.25)
    assert by_holder(["a", "b", "a"], [1, 2, 3]) == {"a": 4, "b": 2}


def test_what_is_lost_between_two_ages_is_a_share_of_those_alive_at_the_first() -> None:
    curve = survival([Life(0, 10, True), Life(0, 20, True), Life(0, 30, True), Life(0, 40, True)])
    assert curve.lost_between(10, 30) == pytest.approx(2 / 3)
    assert curve.lost_between(40, 50) is None
    assert survival([Life(0, 10, False)]).lost_between(5, 20) is None


def test_a_walk_vouches_for_subnets_that_never_shrank() -> None:
    walk = Walk(0, 10, (Registration(1, 0, "x", 5, None), Registration(1, 1, "y", 6, None)), frozenset({2}))
    assert walk.counts() == {1: 2}
    assert (walk.certainty(1).value, walk.certainty(2).value) == ("exact", "lower bound")

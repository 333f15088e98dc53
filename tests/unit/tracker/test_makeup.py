"""What a subnet is made of, against hand-made answers and the sums that must come out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.makeup import makeup, makeup_change
from tracker.risk import Neuron, Standing

DAY = 7_200
BLOCK = 100 * DAY


def standing(*neurons: Neuron, block: int = BLOCK, price: float = 2.0) -> Standing:
    return Standing(3, block, 461, 4_096, 8, 5 * 10**9, neurons, tempo_blocks=359, price_tao=price)


VALIDATOR = Neuron(0, "v", 4 * 10**9, BLOCK - 50 * DAY, is_validator=True)
OLD = Neuron(1, "old", 3 * 10**9, BLOCK - 20 * DAY)
WEEK = Neuron(2, "week", 2 * 10**9, BLOCK - 6 * DAY)
NEW = Neuron(3, "new", 10**9, BLOCK - DAY + 1)


def test_roles_share_the_emission_and_newcomers_are_weighed_by_it() -> None:
    made = makeup(standing(VALIDATOR, OLD, WEEK, NEW))
    assert (made.validators.count, made.validators.emission_share) == (1, 0.4)
    assert (made.miners.count, made.miners.emission_share) == (3, 0.6)
    assert made.young_emission == pytest.approx({1: 0.1, 7: 0.3, 30: 0.6})
    assert made.free_seats == 4


def test_a_seat_is_earned_back_by_the_median_miner_at_the_moving_price() -> None:
    made = makeup(standing(VALIDATOR, OLD, WEEK, NEW))
    assert made.miner_tao_per_day == pytest.approx(2 * 20 * 2.0)  # 2 alpha an epoch, 20 epochs a day, 2 TAO each
    assert made.days_to_earn_back == pytest.approx(5 / 80)


@pytest.mark.parametrize(
    "poor", [standing(VALIDATOR), standing(OLD, price=0.0), standing(Neuron(1, "poor", 0, 1)), standing()]
)
def test_nothing_is_claimed_where_the_median_miner_gets_nothing(poor: Standing) -> None:
    assert makeup(poor).days_to_earn_back is None


def test_who_came_went_and_changed_over() -> None:
    promoted = Neuron(1, "old", 0, OLD.registered, is_validator=True)
    change = makeup_change(standing(VALIDATOR, OLD, WEEK, block=BLOCK - DAY), standing(promoted, WEEK, NEW))
    validators, miners = change.validators, change.miners
    assert (validators.entered, validators.left, validators.from_other, validators.to_other) == (0, 1, 1, 0)
    assert (miners.entered, miners.left, miners.from_other, miners.to_other) == (1, 0, 0, 1)
    assert (change.after_block, change.until_block) == (BLOCK - DAY, BLOCK)


_NEURONS = st.lists(
    st.builds(
        Neuron,
        uid=st.integers(0, 9),
        hotkey=st.sampled_from("abcdefghij"),
        emission_rao=st.integers(0, 100),
        registered=st.integers(1, BLOCK),
        is_validator=st.booleans(),
    ),
    unique_by=lambda one: one.hotkey,
    max_size=8,
)


@given(_NEURONS, _NEURONS)
def test_comings_and_goings_account_for_every_neuron(before: list[Neuron], after: list[Neuron]) -> None:
    change = makeup_change(standing(*before), standing(*after))
    for role, is_validator in ((change.validators, True), (change.miners, False)):
        count = [sum(one.is_validator == is_validator for one in side) for side in (before, after)]
        assert count[1] - count[0] == role.entered - role.left + role.from_other - role.to_other
    assert change.validators.from_other == change.miners.to_other


@given(_NEURONS)
def test_shares_of_emission_stay_between_0_and_1_and_grow_with_age(neurons: list[Neuron]) -> None:
    made = makeup(standing(*neurons))
    shares = list(made.young_emission.values())
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)

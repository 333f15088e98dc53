"""Rankings: definitions, ties, unequal periods, and subnets that were never compared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tracker.classify import Certainty
from tracker.errors import NotEnoughSnapshotsError
from tracker.model import Snapshot, Subnet
from tracker.ranking import SortBy, rank_snapshots

START = datetime(2026, 1, 1, tzinfo=UTC)


def snapshot(block: int, subnets: dict[int, str]) -> Snapshot:
    """Subnets as words: letter i is the hotkey at uid i."""
    entries = {netuid: Subnet(netuid, dict(enumerate(word)), block=block) for netuid, word in subnets.items()}
    return Snapshot("n", block, START + timedelta(seconds=12 * block), entries)


def test_averages_are_per_period_and_rates_per_day() -> None:
    ranking = rank_snapshots(
        [snapshot(0, {1: "abcd"}), snapshot(300, {1: "abcx"}), snapshot(7_200, {1: "xyzx"})], SortBy.REPLACEMENTS
    )
    row = ranking.rows[0]
    assert row.counts.replaced == 4
    assert row.average(row.counts.replaced) == 2.0
    assert row.replacement_percentage == 50.0
    assert row.per_day(row.counts.replaced) == 4.0
    assert row.certainty is Certainty.LOWER_BOUND


def test_ties_go_by_number_and_2_comes_before_10() -> None:
    ranking = rank_snapshots([snapshot(0, {10: "ab", 2: "ab"}), snapshot(9, {10: "ax", 2: "ax"})], SortBy.CHANGES)
    assert [row.netuid for row in ranking.rows] == [2, 10]


def test_a_subnet_in_one_snapshot_only_is_listed_last_without_values() -> None:
    ranking = rank_snapshots([snapshot(0, {1: "ab"}), snapshot(9, {1: "ab", 5: "zz"})], SortBy.CHANGES)
    assert [row.netuid for row in ranking.rows] == [1, 5]
    assert ranking.rows[1].periods == 0
    assert ranking.rows[1].certainty is Certainty.UNKNOWN
    assert ranking.created == ((5, 9),)


def test_a_subnet_that_went_is_reported_apart() -> None:
    ranking = rank_snapshots([snapshot(0, {1: "ab", 4: "q"}), snapshot(9, {1: "ab"})], SortBy.CHANGES)
    assert ranking.dissolved == ((4, 9),)


def test_root_is_left_out_unless_asked_for() -> None:
    pair = [snapshot(0, {0: "ab", 1: "ab"}), snapshot(9, {0: "xy", 1: "ab"})]
    assert [row.netuid for row in rank_snapshots(pair, SortBy.CHANGES).rows] == [1]
    assert [row.netuid for row in rank_snapshots(pair, SortBy.CHANGES, include_root=True).rows] == [0, 1]


def test_an_empty_subnet_has_a_percentage_of_zero() -> None:
    ranking = rank_snapshots([snapshot(0, {3: ""}), snapshot(9, {3: ""})], SortBy.PERCENTAGE)
    assert ranking.rows[0].replacement_percentage == 0.0


@pytest.mark.parametrize(
    ("by", "order"),
    [
        (SortBy.REPLACEMENTS, [1, 2, 3]),
        (SortBy.PERCENTAGE, [2, 1, 3]),
        (SortBy.DEREGISTRATIONS, [3, 1, 2]),
        (SortBy.CHANGES, [3, 1, 2]),
    ],
)
def test_each_order_is_descending_by_its_own_figure(by: SortBy, order: list[int]) -> None:
    before = snapshot(0, {1: "abcdefgh", 2: "ab", 3: "abcdef"})
    after = snapshot(9, {1: "abcdefxy", 2: "xb", 3: "abc"})
    assert [row.netuid for row in rank_snapshots([before, after], by).rows] == order


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_snapshots_is_no_ranking(count: int) -> None:
    with pytest.raises(NotEnoughSnapshotsError, match=f"found {count}"):
        rank_snapshots([snapshot(0, {1: "a"})][:count], SortBy.CHANGES)

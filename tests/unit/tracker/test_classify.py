"""What happened between two snapshots: the table of spec tracker 5.2, and properties of both countings."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.chains import chain, snapshot_of
from tracker.classify import Counts, classify, compare, total
from tracker.model import Snapshot, Subnet


def subnet(rows: dict[int, tuple[str, int]], block: int = 100, **options: int) -> Subnet:
    hotkeys = {uid: hotkey for uid, (hotkey, _) in rows.items()}
    registered = {uid: at for uid, (_, at) in rows.items()}
    return Subnet(1, hotkeys, registered, registered_at=options.get("registered_at", 5), block=block)


BEFORE = subnet({0: ("a", 10), 1: ("b", 20), 2: ("c", 30)})


@pytest.mark.parametrize(
    ("after", "basic", "corrected"),
    [
        pytest.param({0: ("x", 150)}, (1, 0, 0), Counts(true_replaced=1), id="new hotkey, new block: replacement"),
        pytest.param({0: ("x", 10)}, (1, 0, 0), Counts(swapped=1), id="new hotkey, same block: swap"),
        pytest.param({0: ("a", 150)}, (0, 0, 0), Counts(returned=1), id="same hotkey, new block: returned"),
    ],
)
def test_one_seat_that_changes(
    after: dict[int, tuple[str, int]], basic: tuple[int, int, int], corrected: Counts
) -> None:
    rows = {0: ("a", 10), 1: ("b", 20), 2: ("c", 30)} | after
    counts = classify(BEFORE, subnet(rows, 200))
    assert (counts.replaced, counts.deregistered, counts.registered) == basic
    assert (counts.true_replaced, counts.swapped, counts.returned) == (
        corrected.true_replaced,
        corrected.swapped,
        corrected.returned,
    )


def test_a_trim_renumbers_and_removes_and_replaces_nobody() -> None:
    counts = classify(BEFORE, subnet({0: ("b", 20), 1: ("c", 30)}, 200))
    assert counts == Counts(replaced=2, deregistered=1, renumbered=2, trimmed=1)


def test_a_filling_subnet_appends() -> None:
    counts = classify(BEFORE, subnet({0: ("a", 10), 1: ("b", 20), 2: ("c", 30), 3: ("d", 150)}, 200))
    assert counts == Counts(registered=1, appended=1)
    assert counts.true_registrations == 1


def test_without_registration_blocks_only_the_basic_counting_speaks() -> None:
    bare = Subnet(1, {0: "a", 1: "b"}, block=1)
    assert classify(bare, Subnet(1, {0: "x", 1: "b"}, block=2)) == Counts(replaced=1)


def test_a_number_given_out_again_is_another_subnet() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    first = Snapshot("n", 100, moment, {1: BEFORE})
    second = Snapshot("n", 200, moment, {1: subnet({0: ("z", 150)}, 200, registered_at=150)})
    comparison = compare(second, first)
    assert comparison.older is first
    assert (comparison.dissolved, comparison.created, comparison.periods) == ((1,), (1,), ())


def test_two_networks_are_never_compared() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="two networks"):
        compare(Snapshot("a", 1, moment, {}), Snapshot("b", 2, moment, {}))


def test_the_small_chain_reads_as_the_chapter_measured_it() -> None:
    source = chain()
    comparison = compare(snapshot_of(source, 5_000_997), snapshot_of(source, 5_009_997))
    counts = {period.netuid: period.counts for period in comparison.periods}
    assert counts[1].replaced == 164
    assert (counts[3].replaced, counts[3].true_replaced, counts[3].swapped) == (2, 1, 1)
    assert (counts[4].replaced, counts[4].deregistered, counts[4].true_replaced) == (61, 32, 0)
    assert (counts[4].renumbered, counts[4].trimmed) == (61, 32)
    assert comparison.dissolved == comparison.created == (7,)


_ROWS = st.dictionaries(st.integers(0, 12), st.tuples(st.sampled_from("abcdefghij"), st.integers(6, 300)), max_size=12)


@given(_ROWS)
def test_nothing_happens_between_equal_states(rows: dict[int, tuple[str, int]]) -> None:
    assert classify(subnet(rows), subnet(rows)) == Counts()


@given(_ROWS, _ROWS)
def test_basic_counts_balance_the_numbers_of_neurons(
    before: dict[int, tuple[str, int]], after: dict[int, tuple[str, int]]
) -> None:
    counts = classify(subnet(before), subnet(after, 301))
    assert len(after) - len(before) == counts.registered - counts.deregistered
    assert 0 <= counts.replaced <= min(len(before), len(after))


def test_totals_add_field_by_field() -> None:
    assert total([Counts(replaced=1, swapped=2), Counts(replaced=3)]) == Counts(replaced=4, swapped=2)

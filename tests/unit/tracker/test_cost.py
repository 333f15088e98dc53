"""Amounts as people read them, dollars, and what two prices imply."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.chains import chain
from tracker.cost import SubnetCost, format_tao, implied_registrations, to_usd
from tracker.cost_table import to_csv, write_csv
from tracker.errors import StorageError

COST = SubnetCost(
    netuid=7,
    name="seven",
    symbol="s",
    burn_rao=1_000_000,
    min_burn_rao=500_000,
    max_burn_rao=100_000_000_000,
    allowed=True,
    count=256,
    max_uids=256,
    immunity_blocks=4_096,
    half_life_blocks=360,
    multiplier=1.26,
    collateral_share=0.25,
    block=10,
    block_hash="0x0",
    timestamp=datetime(2026, 1, 1, tzinfo=UTC),
)


def test_dollars_are_exact_and_need_a_real_price() -> None:
    assert to_usd(1_500_000_000, "400.10") == Decimal("600.15")
    for price in ("0", "-1", "nan", "inf"):
        with pytest.raises(ValueError, match="positive number"):
            to_usd(1, price)


@pytest.mark.parametrize(
    ("rao", "text"), [(None, "-"), (0, "0"), (1, "0.000000001"), (500_000, "0.0005"), (2_612_345_678, "2.6123")]
)
def test_small_prices_are_never_rounded_to_nothing(rao: int | None, text: str) -> None:
    assert format_tao(rao) == text


@given(st.integers(1, 10**12))
def test_a_price_above_nothing_never_reads_as_nothing(rao: int) -> None:
    assert Decimal(format_tao(rao)) > 0


def test_a_share_of_the_price_is_locked_and_the_rest_burned() -> None:
    assert (COST.locked_rao, COST.free_seats, COST.burn_tao) == (250_000, 0, Decimal("0.001"))
    assert replace(COST, burn_rao=None).locked_rao == 0


@pytest.mark.parametrize(("first", "last"), [(5_004_603, 5_005_803), (5_005_000, 5_008_000)])
def test_prices_imply_registrations_where_no_bound_was_touched(first: int, last: int) -> None:
    source = chain()
    before, after = (
        replace(COST, burn_rao=source.state(block)[7].burn_at(block), block=block) for block in (first, last)
    )
    truth = [row for row in source.truth if row.netuid == 7 and first < row.block <= last]
    implied = implied_registrations(before, after)
    assert implied is not None
    assert implied == pytest.approx(len(truth), abs=0.01)


def test_nothing_is_implied_at_a_bound_or_without_parameters() -> None:
    later = replace(COST, block=370, burn_rao=2_000_000)
    assert implied_registrations(COST, later) == pytest.approx(math.log(4) / math.log(1.26))
    assert implied_registrations(replace(COST, burn_rao=500_000), later) is None
    assert implied_registrations(COST, replace(later, half_life_blocks=None)) is None
    assert implied_registrations(COST, replace(later, burn_rao=None)) is None


@given(st.sampled_from("=+-@\t\r"), st.text(max_size=5))
def test_no_cell_of_a_csv_starts_a_formula(start: str, rest: str) -> None:
    row = to_csv([replace(COST, name=start + rest)]).split("\n", 1)[1]
    assert f"7,{start}" not in row
    assert f'7,"{start}' not in row


def test_a_csv_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="give another path"):
        write_csv([COST], tmp_path / "file" / "costs.csv")

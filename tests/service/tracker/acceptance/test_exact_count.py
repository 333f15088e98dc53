"""Spec tracker 10.3, exact count: the walk back finds every registration over any range, with both generations."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.chains import Running, chain, running
from tests.support.sdks import Sdk

pytestmark = pytest.mark.service
#: Subnets that stand in both ends of every range; 7 is dissolved and its number given out again.
LASTING: Final = {0, 1, 2, 3, 4, 5}
FIRST, LAST = 5_000_000, 5_009_997
#: Around what happens only once: a swap, a seat taken three times, a trim, a dissolution, a second life.
MOMENTS: Final = (5_001_000, 5_002_000, 5_002_010, 5_002_020, 5_003_000, 5_004_000, 5_004_040, 5_004_100)
_blocks = st.one_of(
    st.integers(FIRST, LAST),
    st.builds(int.__add__, st.sampled_from(MOMENTS), st.integers(-2, 2)),
)
_ranges = st.tuples(_blocks, _blocks).map(sorted).filter(lambda pair: 0 < pair[1] - pair[0] < 2_000)


def truth_of(where: Running, after: int, until: int) -> set[tuple[Any, ...]]:
    """(netuid, uid, block, who came, who went) of every registration, as the chain itself noted it."""
    return {
        (row["netuid"], row["uid"], row["block"], row["new"], row["old"])
        for row in where.node.truth(after, until)
        if row["kind"] in ("append", "replace") and row["netuid"] in LASTING
    }


async def assert_exact(sdk: Sdk, where: Running, ranges: Sequence[Sequence[int]]) -> None:
    """The walks find what the chain noted, and nothing else, in every lasting subnet."""
    found = (await sdk.call("walks", url=where.url, ranges=ranges))["walks"]
    for (after, until), walk in zip(ranges, found, strict=True):
        seen = {
            (netuid, uid, block, hotkey, replaced)
            for netuid, uid, block, hotkey, _, replaced in walk["registrations"]
            if netuid in LASTING
        }
        assert seen == truth_of(where, after, until), (after, until)
        assert set(walk["shrunk"]) & LASTING <= {4}  # only the trimmed subnet is a lower bound


async def test_the_exact_count_equals_the_truth_over_the_whole_chain(sdk: Sdk) -> None:
    async with running(chain()) as where:
        await assert_exact(sdk, where, [(FIRST + 997, LAST)])


async def test_a_trimmed_subnet_is_a_lower_bound_and_every_other_one_exact(sdk: Sdk) -> None:
    async with running(chain()) as where:
        ranges = [(5_002_900, 5_003_100), (5_003_000, 5_003_100)]
        over, later = (await sdk.call("walks", url=where.url, ranges=ranges))["walks"]
    assert (over["shrunk"], later["shrunk"]) == ([4], [])
    prices = [price for netuid, *_, price, _ in over["registrations"] if netuid == 1]
    assert prices
    assert all(price > 0 for price in prices)


async def test_the_exact_count_equals_the_truth_around_what_happens_once(sdk: Sdk) -> None:
    async with running(chain()) as where:
        await assert_exact(sdk, where, [(5_001_999, 5_002_021), (5_003_900, 5_004_150), (5_008_000, 5_008_001)])


def test_the_exact_count_equals_the_truth_over_any_range(sdk: Sdk) -> None:
    """Several ranges share a connection; the rule itself is tried over far more in the unit tier."""
    source = chain()

    @settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(_ranges, min_size=3, max_size=3))
    def over(ranges: list[list[int]]) -> None:
        async def check() -> None:
            async with asyncio.timeout(120), running(source) as where:
                await assert_exact(sdk, where, ranges)

        asyncio.run(check())

    over()

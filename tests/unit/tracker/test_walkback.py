"""The walk back finds every registration of every lasting subnet over any range, on chains of any seed and pace."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from lab.chain.chain import Chain, Kind, Truth
from lab.chain.runtime import Runtime
from lab.chain.scale import ss58
from lab.chain.subnets import Subnet
from tests.support.memory_reader import MemoryReader
from tracker.classify import Certainty
from tracker.scan import take_snapshot
from tracker.walkback import Registration, Walk, walk_back

BASE = 5_000_000
RUNTIME = Runtime()


def played(seed: int, pace: int, swaps: list[int]) -> Chain:
    """Two small subnets that last, full or filling, whose seats change hands again and again, and swaps of hotkeys."""
    chain = Chain([(0, RUNTIME)], seed=seed, head=BASE + 603)
    for netuid, seats in ((1, 14), (2, 40)):
        chain.add(Subnet(netuid, BASE - 1_000, max_uids=seats, immunity_blocks=50), 14)
        chain.churn(netuid, every=pace * netuid)
    for place, block in enumerate(swaps):
        chain.at(BASE + block, partial(chain.swap_hotkey, netuid=1 + place % 2, uid=place % 14))
    return chain


async def walked(chain: Chain, after: int, until: int) -> Walk:
    reader = MemoryReader(chain)
    newest = await take_snapshot(reader, now=lambda: datetime.now(UTC), number=until)
    return await walk_back(reader, newest, after)


def registered(chain: Chain, after: int, until: int) -> list[tuple[Truth, bytes]]:
    """What the chain itself noted, each with the last hotkey that its occupancy had: a swap keeps the seat."""
    chain.state(until)
    noted = [row for row in chain.truth if after < row.block <= until]
    result = []
    for place, row in enumerate(noted):
        if row.kind in (Kind.APPEND, Kind.REPLACE):
            name = row.new or b""
            for later in noted[place + 1 :]:
                if (later.netuid, later.uid) == (row.netuid, row.uid):
                    if later.kind is not Kind.SWAP:
                        break
                    name = later.new or b""
            result.append((row, name))
    return result


_blocks = st.integers(BASE, BASE + 600)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(4, 60), st.lists(st.integers(1, 600), max_size=6), _blocks, _blocks)
def test_every_registration_of_any_range_is_found_and_no_other(
    seed: int, pace: int, swaps: list[int], one: int, other: int
) -> None:
    after, until = sorted((one, other))
    chain = played(seed, pace, swaps)
    walk = asyncio.run(walked(chain, after, until))
    assert {(row.netuid, row.uid, row.hotkey, row.block, row.replaced) for row in walk.registrations} == {
        (row.netuid, row.uid, ss58(name), row.block, row.old and ss58(row.old))
        for row, name in registered(chain, after, until)
    }
    assert len(walk.registrations) == len(registered(chain, after, until))
    assert {walk.certainty(netuid) for netuid in (1, 2)} == {Certainty.EXACT}


def test_a_subnet_that_was_larger_before_is_only_bounded() -> None:
    chain = played(1, 40, [])
    chain.at(BASE + 300, partial(chain.trim, netuid=1, max_uids=12))
    walk = asyncio.run(walked(chain, BASE + 100, BASE + 600))
    assert walk.certainty(1) is Certainty.LOWER_BOUND
    assert walk.certainty(2) is Certainty.EXACT


def test_an_empty_range_holds_nothing() -> None:
    walk = asyncio.run(walked(played(1, 10, []), BASE + 300, BASE + 300))
    assert walk.registrations == ()
    assert isinstance(walk, Walk)
    assert walk.counts() == {}
    assert Registration(1, 0, "x", 5, None).replaced is None

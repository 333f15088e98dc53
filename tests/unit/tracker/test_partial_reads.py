"""An answer that lacks something is an error, and never a smaller subnet, fewer registrations or a wrong order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from lab.chain.chain import Chain
from lab.chain.runtime import Runtime
from lab.chain.subnets import Subnet
from tests.support.memory_reader import MemoryReader
from tracker.chain.reader import Block
from tracker.errors import IncompleteSnapshotError
from tracker.model import Snapshot
from tracker.scan import NO_ACCOUNT, take_snapshot
from tracker.standing import read_standing
from tracker.walkback import walk_back

BASE = 5_000_000
LAST = BASE + 300


def _chain() -> Chain:
    chain = Chain([(0, Runtime())], seed=7, head=LAST + 3)
    chain.add(Subnet(1, BASE - 1_000, max_uids=14, immunity_blocks=50), 14)
    chain.churn(1, every=10)
    return chain


class Lacking(MemoryReader):
    """A node that answers from one block on, and with nothing for earlier ones in the parts that are named."""

    def __init__(self, *parts: str, whole_from: int = LAST) -> None:
        super().__init__(_chain())
        self._parts = parts
        self._whole_from = whole_from

    def _lacks(self, part: str, at: Block) -> bool:
        return part in self._parts and at.number < self._whole_from

    async def per_subnet(self, item: str, netuids: Sequence[int], at: Block) -> list[object]:
        found = await super().per_subnet(item, netuids, at)
        return [None] * len(found) if self._lacks(item.rpartition(".")[2], at) else found

    async def hotkeys(self, seats: Sequence[tuple[int, int]], at: Block) -> list[str]:
        found = await super().hotkeys(seats, at)
        return [NO_ACCOUNT] * len(found) if self._lacks("Keys", at) else found

    async def registrations(self, seats: Sequence[tuple[int, int]], at: Block) -> list[int]:
        found = await super().registrations(seats, at)
        return [0] * len(found) if self._lacks("Keys", at) else found


async def _taken(reader: MemoryReader) -> Snapshot:
    return await take_snapshot(reader, now=lambda: datetime.now(UTC), number=LAST)


async def test_a_subnet_whose_size_was_not_read_does_not_look_empty() -> None:
    with pytest.raises(IncompleteSnapshotError, match="SubnetworkN of subnet 1"):
        await _taken(Lacking("SubnetworkN", whole_from=LAST + 1))


@pytest.mark.parametrize("part", ["SubnetworkN", "Keys"])
async def test_a_walk_that_cannot_see_who_sat_there_claims_no_count(part: str) -> None:
    newest = await _taken(Lacking())
    assert len((await walk_back(Lacking(), newest, BASE)).registrations) > 20, "there is something to miss"
    with pytest.raises(IncompleteSnapshotError, match="at block"):
        await walk_back(Lacking(part), newest, BASE)


class Standings(Lacking):
    """A node that knows the rest of a subnet, but for what a test takes away."""

    def __init__(self, missing: str) -> None:
        super().__init__()
        self._missing = missing

    async def per_subnet(self, item: str, netuids: Sequence[int], at: Block) -> list[object]:
        name = item.rpartition(".")[2]
        if name == self._missing:
            return [None]
        known = {"Emission": [5] * 14, "ImmunityPeriod": 50, "MaxAllowedUids": 14, "Tempo": 360}
        if name in ("SubnetworkN", "Burn"):
            return await super().per_subnet(item, netuids, at)
        return [known.get(name)]


async def test_a_standing_needs_only_what_the_order_rests_on() -> None:
    reader = Standings("ValidatorPermit")
    standing = await read_standing(reader, 1, await reader.block(LAST))
    assert (len(standing.neurons), standing.immunity_blocks) == (14, 50)


@pytest.mark.parametrize("missing", ["SubnetworkN", "Emission", "ImmunityPeriod", "MaxAllowedUids"])
async def test_an_order_is_not_claimed_from_what_was_not_read(missing: str) -> None:
    reader = Standings(missing)
    with pytest.raises(IncompleteSnapshotError, match=f"{missing} of subnet 1"):
        await read_standing(reader, 1, await reader.block(LAST))

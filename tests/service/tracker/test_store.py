"""The change store on SQLite and PostgreSQL: nothing is lost, order does not matter, and it ranks as the files do."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from lab.chain.chain import Chain
from lab.chain.runtime import Runtime
from lab.chain.scenarios import small
from lab.services.postgres import EmbeddedPostgres
from tests.support.chains import NETWORK, chain, snapshot_of
from tests.support.waiting import fastest
from tracker import files
from tracker.errors import NotEnoughSnapshotsError, StorageError, UnknownSubnetError
from tracker.history_files import take_in, write_out
from tracker.model import Snapshot, Subnet
from tracker.ranking import SortBy, rank_snapshots
from tracker.store.database import open_engine, shown_place, store_url
from tracker.store.query import Range, price_path, rank
from tracker.store.schema import subnet_span
from tracker.store.store import Store

pytestmark = pytest.mark.service
SOURCE = chain()
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def long_chain() -> Chain:
    """The small chain over four days, so that whole days lie in its middle."""
    return small(Chain([(0, Runtime())], head=5_030_000))


BLOCKS = [5_000_500, 5_001_100, 5_002_015, 5_003_001, 5_004_010, 5_004_200, 5_006_000, 5_009_997]
TAKEN = [snapshot_of(SOURCE, block) for block in BLOCKS]
FOUR_DAYS = long_chain()
LONG = [snapshot_of(FOUR_DAYS, 5_000_500 + 1_700 * step) for step in range(17)]


@pytest.fixture(params=["sqlite", "postgresql"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """An empty store on either database."""
    place = str(tmp_path / "history.db")
    if request.param == "postgresql":
        server: EmbeddedPostgres = request.getfixturevalue("postgres")
        server.create_database(tmp_path.name)
        place = server.dsn(tmp_path.name)
    async with open_engine(place) as opened:
        yield opened


async def test_what_goes_in_comes_out(engine: AsyncEngine) -> None:
    store = Store(engine)
    for taken in TAKEN:
        assert await store.add(taken)
    for taken in TAKEN:
        assert await Store(engine).get(NETWORK, taken.block) == taken


async def test_any_order_gives_the_same_ranking_as_the_files(engine: AsyncEngine) -> None:
    shuffled = list(TAKEN)
    random.Random(7).shuffle(shuffled)
    store = Store(engine)
    for taken in shuffled:
        assert await store.add(taken)
    for by in SortBy:
        assert await rank(engine, Range(NETWORK), by, include_root=True) == rank_snapshots(TAKEN, by, include_root=True)
    assert [await store.get(NETWORK, block) for block in BLOCKS] == TAKEN


async def test_the_same_block_again_changes_nothing(engine: AsyncEngine) -> None:
    store = Store(engine)
    assert await store.add(TAKEN[0])
    assert not await store.add(TAKEN[0])
    assert not await Store(engine).add(TAKEN[0])
    assert await store.blocks() == [(NETWORK, BLOCKS[0])]


async def test_a_range_ranks_only_its_own_periods(engine: AsyncEngine) -> None:
    store = Store(engine)
    for taken in TAKEN:
        await store.add(taken)
    inner = await rank(engine, Range(NETWORK, BLOCKS[2], BLOCKS[5]), SortBy.CHANGES)
    assert inner == rank_snapshots(TAKEN[2:6], SortBy.CHANGES)
    with pytest.raises(NotEnoughSnapshotsError, match="the store has 1"):
        await rank(engine, Range(NETWORK, BLOCKS[2], BLOCKS[2]), SortBy.CHANGES)


async def test_prices_come_back_as_a_path(engine: AsyncEngine) -> None:
    store = Store(engine)
    for taken in TAKEN[:3]:
        await store.add(taken)
    path = await price_path(engine, Range(NETWORK), 1)
    assert [(point.block, point.burn_rao) for point in path] == [
        (taken.block, taken.subnets[1].burn_rao) for taken in TAKEN[:3]
    ]


async def test_files_and_store_convert_into_each_other_without_loss(engine: AsyncEngine, tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    originals = {path.name: path.read_bytes() for taken in TAKEN for path, _ in [files.write(taken, first)]}
    store = Store(engine)
    taken_in = await take_in(store, first)
    assert (taken_in.new, taken_in.known, taken_in.broken) == (len(TAKEN), 0, ())
    assert (await take_in(store, first)).new == 0
    assert await write_out(store, second) == len(TAKEN)
    assert {path.name: path.read_bytes() for path in second.iterdir()} == originals


async def test_files_without_our_additions_keep_what_they_say(engine: AsyncEngine) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    old = Snapshot("finney", 10, moment, {1: Subnet(1, {0: "a", 1: "b"}, block=9), 2: Subnet(2, {}, block=10)})
    new = Snapshot(
        "finney", 20, moment, {1: Subnet(1, {0: "a", 1: "c"}, {0: 5, 1: 15}, registered_at=3, burn_rao=7, block=20)}
    )
    store = Store(engine)
    await store.add(old)
    await store.add(new)
    assert await Store(engine).get("finney", 10) == old
    assert await Store(engine).get("finney", 20) == new
    ranking = await rank(engine, Range("finney"), SortBy.REPLACEMENTS)
    assert [(row.netuid, row.counts.replaced, row.corrected) for row in ranking.rows[:1]] == [(1, 1, False)]


async def test_a_subnet_that_is_missing_for_a_while_keeps_its_last_state(engine: AsyncEngine) -> None:
    gone = replace(TAKEN[1], subnets={netuid: one for netuid, one in TAKEN[1].subnets.items() if netuid != 3})
    store = Store(engine)
    for taken in (TAKEN[0], gone, TAKEN[2]):
        await store.add(taken)
    for taken in (TAKEN[0], gone, TAKEN[2]):
        assert await Store(engine).get(NETWORK, taken.block) == taken


async def test_a_block_that_is_not_there_is_said(engine: AsyncEngine) -> None:
    with pytest.raises(UnknownSubnetError, match="no snapshot of finney at block 1"):
        await Store(engine).get("finney", 1)


async def test_a_database_that_does_not_answer_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="failed"):
        async with open_engine(f"postgresql://nobody@/none?host={tmp_path}"):
            pytest.fail("opened a database that is not there")


def test_places_become_urls() -> None:
    assert store_url("postgresql://u@h/d") == "postgresql+asyncpg://u@h/d"
    assert store_url("/x/history.db") == "sqlite+aiosqlite:////x/history.db"


async def test_sums_by_day_rank_any_range_as_the_files_do_whatever_the_order_of_arrival(engine: AsyncEngine) -> None:
    store = Store(engine)
    shuffled = list(LONG)
    random.Random(3).shuffle(shuffled)
    for taken in shuffled:
        await store.add(taken)
    for first, last in itertools.combinations(range(0, len(LONG), 2), 2):
        wanted = Range(NETWORK, LONG[first].block, LONG[last].block)
        found = await rank(engine, wanted, SortBy.CHANGES, include_root=True)
        assert found == rank_snapshots(LONG[first : last + 1], SortBy.CHANGES, include_root=True)


async def test_a_store_that_was_written_without_sums_gets_them_when_it_is_opened(tmp_path: Path) -> None:
    place = str(tmp_path / "history.db")
    async with open_engine(place) as engine:
        for taken in LONG:
            await Store(engine).add(taken)
        before = await rank(engine, Range(NETWORK), SortBy.CHANGES)
        async with engine.begin() as connection:
            await connection.execute(delete(subnet_span))
    async with open_engine(place) as engine:
        assert await rank(engine, Range(NETWORK), SortBy.CHANGES) == before
        async with engine.connect() as connection:
            assert (await connection.execute(select(func.count()).select_from(subnet_span))).scalar_one() > 0


async def test_1000_stored_snapshots_are_ranked_in_under_a_second(tmp_path: Path) -> None:
    quiet, contested = TAKEN[0].subnets[1], TAKEN[0].subnets[2]
    async with open_engine(str(tmp_path / "history.db")) as engine:
        store = Store(engine)
        for hour in range(1000):
            block = TAKEN[0].block + 300 * hour
            hotkeys = {**contested.hotkeys, 0: f"5Simulated{hour}"}
            registered = {**contested.registered, 0: block - 1}
            subnets = {1: quiet, 2: replace(contested, hotkeys=hotkeys, registered=registered)}
            await store.add(replace(TAKEN[0], block=block, subnets=subnets, timestamp=EPOCH + timedelta(hours=hour)))
        ranking = await rank(engine, Range(NETWORK), SortBy.REPLACEMENTS)
        assert [(row.netuid, row.counts.replaced) for row in ranking.rows] == [(2, 999), (1, 0)]
        assert await fastest(lambda: rank(engine, Range(NETWORK), SortBy.REPLACEMENTS), enough_seconds=1) <= 1


def test_a_place_is_shown_without_its_password() -> None:
    assert "secret" not in shown_place("postgresql://u:secret@h/d")
    assert shown_place("/x/history.db") == "/x/history.db"

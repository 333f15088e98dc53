"""The acceptance checks of spec tracker 10.3 on exact counts, backfill and moments, with the real SDK."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lab.chain.chain import Chain
from lab.chain.runtime import Runtime
from lab.chain.scenarios import small
from tests.support.chains import chain, running
from tracker.chain.connect import Endpoint, connect
from tracker.classify import Certainty
from tracker.cli.main import run
from tracker.errors import ExitCode, StatePrunedError
from tracker.history import Backfill, backfill, block_at
from tracker.model import Snapshot
from tracker.scan import take_snapshot
from tracker.walkback import walk_back

pytestmark = pytest.mark.service


def now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.parametrize(
    ("after", "until"),
    [
        (5_000_000, 5_009_997),
        (5_000_997, 5_009_997),
        (5_001_999, 5_002_021),
        (5_002_005, 5_003_500),
        (5_003_900, 5_004_050),
        (5_008_000, 5_008_001),
    ],
)
async def test_the_exact_count_equals_the_truth_over_any_range(after: int, until: int) -> None:
    async with running(chain()) as where, connect(Endpoint(where.url)) as reader:
        newest = await take_snapshot(reader, now=now, number=until)
        walk = await walk_back(reader, newest, after)
        truth = [row for row in where.node.truth(after, until) if row["kind"] in ("append", "replace")]
    lasting = {1, 2, 3, 4, 5}
    expected = Counter(row["netuid"] for row in truth if row["netuid"] in lasting)
    assert {netuid: count for netuid, count in walk.counts().items() if netuid in lasting} == dict(expected)
    seen = {(one.netuid, one.uid, one.block, one.hotkey) for one in walk.registrations if one.netuid in lasting}
    assert seen == {(row["netuid"], row["uid"], row["block"], row["new"]) for row in truth if row["netuid"] in lasting}


async def test_a_trimmed_subnet_is_only_bounded_and_a_lasting_one_is_exact() -> None:
    async with running(chain()) as where, connect(Endpoint(where.url)) as reader:
        newest = await take_snapshot(reader, now=now)
        walk = await walk_back(reader, newest, 5_000_997)
    assert walk.certainty(4) is Certainty.LOWER_BOUND
    assert {walk.certainty(netuid) for netuid in (1, 2, 3, 5)} == {Certainty.EXACT}
    assert all(one.price_rao and one.price_rao > 0 for one in walk.registrations if one.netuid == 1)


@pytest.mark.parametrize("block", [5_000_499, 5_000_500, 5_003_123, 5_009_000, 5_009_997])
async def test_a_moment_finds_its_block_on_a_chain_with_outages(block: int) -> None:
    source = chain(outages=((5_000_500, 3_600_000), (5_004_000, 86_400_000)))
    moment = datetime.fromtimestamp(source.time_milliseconds(block) / 1000, tz=UTC)
    async with running(source) as where, connect(Endpoint(where.url)) as reader:
        assert await block_at(reader, moment) == block
        assert await block_at(reader, moment + timedelta(seconds=11)) == block


async def test_pruned_state_is_a_clear_message_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(chain(), pruned=True) as where:
        with pytest.raises(StatePrunedError, match="archive endpoint"):
            async with connect(Endpoint(where.url)) as reader:
                await take_snapshot(reader, now=now, number=5_000_500)
        options = ("--network", where.url, "--dir", str(tmp_path / "s"), "--first-block", "5000500")
        assert await asyncio.to_thread(run, ["backfill", *options]) == ExitCode.STATE_PRUNED
    assert "archive" in capsys.readouterr().err
    assert not list((tmp_path / "s").glob("*.json"))


async def test_pruned_state_is_read_from_an_archive() -> None:
    source = chain()
    async with running(source, pruned=True) as where, running(source) as archive:
        async with connect(Endpoint(where.url, archives=[archive.url])) as reader:
            taken = await take_snapshot(reader, now=now, number=5_000_500)
        assert {netuid: entry["n"] for netuid, entry in archive.node.right_answer(5_000_500).items()} == {
            netuid: subnet.count for netuid, subnet in taken.subnets.items()
        }


async def test_a_runtime_upgrade_in_the_range_changes_nothing() -> None:
    later = Runtime()
    later.spec_version += 1
    source = small(Chain([(0, Runtime()), (5_005_000, later)]))
    async with running(source) as where, connect(Endpoint(where.url)) as reader:
        for number in (5_004_999, 5_005_000, 5_005_001, 5_009_000):
            taken = await take_snapshot(reader, now=now, number=number)
            answer = where.node.right_answer(number)
            assert {netuid: subnet.hotkeys for netuid, subnet in taken.subnets.items()} == {
                netuid: entry["uids"] for netuid, entry in answer.items()
            }


async def test_backfill_resumes_after_a_kill_without_duplicates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "s"
    async with running(chain()) as where:
        options = ["--network", where.url, "--dir", str(folder), "--first-block", "5004000", "--every-blocks", "1000"]
        assert await asyncio.to_thread(run, ["backfill", *options, "--last-block", "5006000"]) == ExitCode.OK
        assert await asyncio.to_thread(run, ["backfill", *options]) == ExitCode.OK
        assert "3 new snapshots" in capsys.readouterr().out.split("\n")[1]
        assert await asyncio.to_thread(run, ["backfill", *options]) == ExitCode.OK
    assert "0 new snapshots" in capsys.readouterr().out
    assert len(list(folder.glob("snapshot_*.json"))) == 6


async def test_a_backfill_that_is_stopped_keeps_what_it_handed_on() -> None:
    kept: list[int] = []

    async def keep(taken: Snapshot) -> bool:
        kept.append(taken.block)
        if len(kept) == 2:
            raise asyncio.CancelledError
        return True

    async with running(chain()) as where, connect(Endpoint(where.url)) as reader:
        with pytest.raises(asyncio.CancelledError):
            await backfill(reader, Backfill([5_001_000, 5_002_000, 5_003_000]), keep, now=now)
    assert kept == [5_001_000, 5_002_000]

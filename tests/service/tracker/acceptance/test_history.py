"""Spec tracker 10.3, backfill: the past from nodes that keep it and that do not, with both generations of the SDK."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lab.chain.chain import Chain
from lab.chain.node import Faults
from lab.chain.runtime import Runtime
from lab.chain.scenarios import small
from tests.support.chains import chain, running
from tests.support.sdks import Sdk, arguments
from tests.support.waiting import until
from tracker import files
from tracker.errors import ExitCode, StatePrunedError
from tracker.store.database import open_engine
from tracker.store.store import Store

pytestmark = pytest.mark.service


async def test_pruned_state_is_a_clear_message_and_nothing_is_written(sdk: Sdk, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    async with running(chain(), pruned=True) as where:
        with pytest.raises(StatePrunedError, match="archive endpoint"):
            await sdk.snapshot(where.url, number=5_000_500)
        ran = await sdk.run("backfill", *arguments(where.url, folder, "--first-block", "5000500"))
    assert ran.code == ExitCode.STATE_PRUNED
    assert "--archive URL" in ran.err
    assert not list(folder.glob("*.json"))


async def test_pruned_state_is_read_from_an_archive(sdk: Sdk) -> None:
    source = chain()
    async with running(source, pruned=True) as where, running(source) as archive:
        taken = await sdk.snapshot(where.url, archives=[archive.url], number=5_000_500)
        right = archive.node.right_answer(5_000_500)
    assert {netuid: subnet.hotkeys for netuid, subnet in taken.subnets.items()} == {
        netuid: entry["uids"] for netuid, entry in right.items()
    }


async def test_times_on_a_chain_with_outages_find_the_right_block(sdk: Sdk) -> None:
    source = chain(outages=((5_000_500, 3_600_000), (5_004_000, 86_400_000)))
    blocks = [5_000_499, 5_000_500, 5_003_123, 5_009_997]
    moments = [
        datetime.fromtimestamp(source.time_milliseconds(block) / 1000, tz=UTC) + late
        for block in blocks
        for late in (timedelta(), timedelta(seconds=11))
    ]
    async with running(source) as where:
        found = await sdk.call("moments", url=where.url, moments=[moment.isoformat() for moment in moments])
    assert found["blocks"] == [block for block in blocks for _ in range(2)]


async def test_a_runtime_upgrade_in_the_range_changes_nothing(sdk: Sdk) -> None:
    later = Runtime()
    later.spec_version += 1
    source = small(Chain([(0, Runtime()), (5_005_000, later)]))
    numbers = [5_004_999, 5_005_000, 5_005_001, 5_009_000]
    async with running(source) as where:
        found = (await sdk.call("past", url=where.url, numbers=numbers))["snapshots"]
        for number, document in zip(numbers, found, strict=True):
            taken = files.decode(json.dumps(document).encode())
            assert {netuid: subnet.hotkeys for netuid, subnet in taken.subnets.items()} == {
                netuid: entry["uids"] for netuid, entry in where.node.right_answer(number).items()
            }


async def test_backfill_resumes_after_a_kill_without_duplicates(sdk: Sdk, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    options = ("--first-block", "5004000", "--last-block", "5009000", "--every-blocks", "1000")
    async with running(chain(), Faults(delay_ms=20)) as where:
        process = await sdk.start("backfill", *arguments(where.url, folder, *options))
        await until(_counts(folder, 2), seconds=120)
        process.kill()
        await process.communicate()
        before = len(await asyncio.to_thread(_names, folder))
        ran = await sdk.run("backfill", *arguments(where.url, folder, *options))
        again = await sdk.run("backfill", *arguments(where.url, folder, *options))
    assert 2 <= before < 6, "the backfill was over before it was killed"
    assert (ran.code, again.code) == (ExitCode.OK, ExitCode.OK)
    assert "0 new snapshots" in again.out
    taken, broken = files.read_all(folder)
    assert [one.block for one in taken] == [5_004_000 + 1000 * step for step in range(6)]
    assert broken == []
    async with open_engine(str(folder / "history.db")) as engine:
        assert [block for _, block in await Store(engine).blocks()] == [one.block for one in taken]


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("snapshot_*.json")]


def _counts(folder: Path, wanted: int) -> Callable[[], bool]:
    return lambda: len(_names(folder)) >= wanted

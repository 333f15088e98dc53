"""The acceptance checks of spec tracker 10.3 on snapshots, against the simulated chain with the real SDK."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from lab.chain.node import Faults, Refusal
from tests.support.chains import Running, chain, running
from tracker import files
from tracker.chain.connect import Endpoint, connect
from tracker.chain.reader import Block, ChainReader
from tracker.cli.main import run
from tracker.errors import ChainUnreachableError, ExitCode, IncompleteSnapshotError, RefusedByPolicyError
from tracker.model import Snapshot
from tracker.scan import ScanOptions, take_snapshot

pytestmark = pytest.mark.service
QUICK = ScanOptions(pause_seconds=0.01)


def now() -> datetime:
    return datetime.now(UTC)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that the node notes and does not announce."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def scan(where: Running, options: ScanOptions = QUICK, number: int | None = None) -> Snapshot:
    async with connect(Endpoint(where.url)) as reader:
        return await take_snapshot(reader, now=now, options=options, number=number)


def assert_right(where: Running, taken: Snapshot) -> None:
    answer = where.node.right_answer(taken.block)
    assert sorted(taken.subnets) == sorted(answer)
    for netuid, subnet in taken.subnets.items():
        assert subnet.hotkeys == answer[netuid]["uids"]
        assert subnet.registered == answer[netuid]["registered"]
        assert subnet.burn_rao == answer[netuid]["burn"]
        assert subnet.registered_at == answer[netuid]["registered_at"]
        assert subnet.block == taken.block


async def test_a_snapshot_equals_the_truth_at_one_finalized_block() -> None:
    async with running(chain()) as where:
        taken = await scan(where)
        assert taken.block == where.node.chain.finalized
        assert taken.block_hash == where.node.chain.hash_of(taken.block)
        assert_right(where, taken)


async def test_300_uids_come_in_chunks_and_in_order() -> None:
    async with running(chain()) as where:
        taken = await scan(where, ScanOptions(chunk_keys=70))
        assert list(taken.subnets[5].hotkeys) == list(range(300))
        assert_right(where, taken)


async def test_a_dissolved_subnet_whose_rows_are_still_there_is_absent_and_root_is_present() -> None:
    source = chain()
    source.head = source.base_block + 4_023
    async with running(source) as where:
        taken = await scan(where)
        assert 7 not in taken.subnets
        assert 7 in source.state(taken.block)
        assert taken.subnets[0].count == 12


async def test_a_moving_chain_gives_one_block() -> None:
    async with running(chain(), Faults(tick_every=1)) as where:
        assert_right(where, await scan(where))


async def test_a_fork_between_calls_gives_one_block() -> None:
    source = chain()
    async with running(source) as where:
        task = asyncio.create_task(scan(where))
        await until(lambda: bool(where.node.calls))
        source.fork += 1
        assert_right(where, await task)


async def test_a_block_that_went_away_is_an_incomplete_snapshot() -> None:
    async with running(chain()) as where, connect(Endpoint(where.url)) as reader:
        with pytest.raises(IncompleteSnapshotError, match="take it again"):
            await take_snapshot(cast("ChainReader", _Forked(reader)), now=now, options=QUICK)


class _Forked:
    """A reader for which the block of every number is another one by the end."""

    def __init__(self, inner: ChainReader) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def block(self, number: int) -> Block:
        return Block(number, "0x" + "00" * 32)


async def test_two_dropped_connections_are_survived() -> None:
    async with running(chain()) as where, connect(Endpoint(where.url)) as reader:
        where.node.faults.drop_next = 2
        assert_right(where, await take_snapshot(reader, now=now, options=QUICK))


async def test_a_refusal_is_waited_out_once_and_then_said() -> None:
    faults = Faults(refusal=Refusal(429, {"Retry-After": "1"}))
    async with running(chain(), faults) as where:
        started = time.monotonic()
        with pytest.raises(RefusedByPolicyError, match="refuses traffic"):
            await scan(where)
        assert time.monotonic() - started >= 1
        assert where.node.handshakes <= 2


async def test_a_refusal_that_passes_costs_its_wait_only() -> None:
    faults = Faults(refusal=Refusal(429, {"Retry-After": "1"}))
    async with running(chain(), faults) as where:
        task = asyncio.create_task(scan(where))
        await until(lambda: where.node.handshakes >= 1)
        where.node.faults.refusal = None
        assert_right(where, await task)


async def test_an_internal_error_on_one_call_is_retried() -> None:
    faults = Faults(fail_next={"state_queryStorageAt": 1})
    async with running(chain(), faults) as where:
        assert_right(where, await scan(where))


async def test_a_response_limit_of_1_mb_makes_smaller_chunks() -> None:
    async with running(chain("full"), Faults(size_limit=1_000_000)) as where:
        taken = await scan(where)
        assert taken.count == 32_832
        assert_right(where, taken)


async def test_129_networks_cost_at_most_40_calls() -> None:
    async with running(chain("full"), Faults(delay_ms=50)) as where:
        async with connect(Endpoint(where.url)) as reader:
            where.node.calls.clear()
            taken = await take_snapshot(reader, now=now)
        assert taken.count == 32_832
        assert len(where.node.calls) <= 40


async def test_an_endpoint_that_is_not_there_is_unreachable() -> None:
    with pytest.raises(ChainUnreachableError, match="no endpoint answered"):
        async with connect(Endpoint("ws://127.0.0.1:9")):
            pytest.fail("connected to a closed port")


async def test_the_local_network_is_found_through_the_sdks_own_variable(tmp_path: Path) -> None:
    async with running(chain()) as where:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tracker", "snapshot", "--network", "local", "--dir", str(tmp_path)),
            env={**os.environ, "BT_CHAIN_ENDPOINT": where.url},
        )
        async with asyncio.timeout(60):
            assert await process.wait() == ExitCode.OK
        (path,) = await asyncio.to_thread(lambda: list(tmp_path.glob("snapshot_*.json")))
        assert files.read(path).network == "local"
        assert_right(where, files.read(path))


async def command(*arguments: str) -> int:
    """Run the command line beside the node of this loop."""
    return await asyncio.to_thread(run, list(arguments))


async def test_the_command_writes_the_required_file_and_a_second_run_adds_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "snapshots"
    async with running(chain()) as where:
        options = ("--network", where.url, "--dir", str(folder), "--json")
        assert await command("snapshot", *options) == ExitCode.OK
        first = json.loads(capsys.readouterr().out)
        assert await command("snapshot", *options) == ExitCode.OK
        second = json.loads(capsys.readouterr().out)
    assert (first["new"], second["new"]) == (True, False)
    written = list(folder.glob("snapshot_*.json"))
    assert [path.name for path in written] == ["snapshot_2025-10-10T18-12-44+00-00.json"]
    document = json.loads(written[0].read_bytes())
    assert isinstance(document["subnets"]["1"]["block"], int)
    assert set(document["subnets"]["2"]["uid_hotkey_map"]) == {str(uid) for uid in range(65)}
    assert files.read(written[0]).endpoint == "127.0.0.1"


@pytest.mark.parametrize(
    ("faults", "code"),
    [
        (Faults(refusal=Refusal(403)), ExitCode.REFUSED_BY_POLICY),
        (Faults(fail_next={"state_queryStorageAt": 1000}), ExitCode.UNREACHABLE),
    ],
)
async def test_a_failed_scan_writes_nothing_and_says_why_by_its_exit_code(
    tmp_path: Path, faults: Faults, code: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "snapshots"
    async with running(chain(), faults) as where:
        assert await command("snapshot", "--network", where.url, "--dir", str(folder)) == code
    assert capsys.readouterr().err.startswith("tracker: ")
    assert not folder.exists()

"""Spec tracker 10.3, snapshot: each line against the simulated chain's own truth, with both generations of the SDK."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from lab.chain.node import Faults, Refusal
from tests.support.chains import Running, chain, running
from tests.support.sdks import Sdk, arguments
from tests.support.waiting import fastest, until
from tracker import files
from tracker.errors import ChainUnreachableError, ExitCode, IncompleteSnapshotError, RefusedByPolicyError
from tracker.model import Snapshot

pytestmark = pytest.mark.service
FULL = 32_832


def assert_right(where: Running, taken: Snapshot) -> None:
    """It holds what the chain held at its block, of every subnet and nothing else."""
    answer = where.node.right_answer(taken.block)
    assert sorted(taken.subnets) == sorted(answer)
    assert taken.block_hash == where.node.chain.hash_of(taken.block)
    for netuid, subnet in taken.subnets.items():
        assert subnet.hotkeys == answer[netuid]["uids"]
        assert subnet.registered == answer[netuid]["registered"]
        assert subnet.burn_rao == answer[netuid]["burn"]
        assert subnet.registered_at == answer[netuid]["registered_at"]
        assert subnet.block == taken.block


async def test_a_snapshot_equals_the_truth_at_one_finalized_block(sdk: Sdk) -> None:
    async with running(chain()) as where:
        taken = await sdk.snapshot(where.url)
        assert taken.block == where.node.chain.finalized
        assert_right(where, taken)
    assert str(taken.sdk).startswith(sdk.name)


async def test_300_uids_come_in_chunks_and_in_order(sdk: Sdk) -> None:
    async with running(chain()) as where:
        taken = await sdk.snapshot(where.url, chunk_keys=70)
        assert list(taken.subnets[5].hotkeys) == list(range(300))
        assert_right(where, taken)


async def test_a_ghost_subnet_is_absent_and_root_is_present(sdk: Sdk) -> None:
    source = chain()
    source.head = source.base_block + 4_023
    async with running(source) as where:
        taken = await sdk.snapshot(where.url)
        assert 7 not in taken.subnets
        assert 7 in source.state(taken.block)
        assert taken.subnets[0].count == 12


async def test_a_chain_that_moves_at_every_call_gives_one_block(sdk: Sdk) -> None:
    async with running(chain(), Faults(tick_every=1)) as where:
        assert_right(where, await sdk.snapshot(where.url))


async def test_a_fork_between_calls_gives_one_block(sdk: Sdk) -> None:
    source = chain()
    async with running(source) as where:
        task = asyncio.create_task(sdk.snapshot(where.url))
        await until(lambda: bool(where.node.calls))
        source.fork += 1
        assert_right(where, await task)


async def test_two_dropped_connections_are_survived(sdk: Sdk) -> None:
    faults = Faults(drop_at={"state_queryStorageAt": 2})
    async with running(chain(), faults) as where:
        assert_right(where, await sdk.snapshot(where.url))
        assert faults.drop_at == {"state_queryStorageAt": 0}
        assert where.node.connections >= 3


async def test_a_refusal_is_waited_out_once_and_then_said(sdk: Sdk, tmp_path: Path) -> None:
    faults = Faults(refusal=Refusal(429, {"Retry-After": "1"}))
    async with running(chain(), faults) as where:
        started = time.monotonic()
        with pytest.raises(RefusedByPolicyError, match="refuses traffic"):
            await sdk.snapshot(where.url)
        assert time.monotonic() - started >= 1
        assert where.node.handshakes == 2
        ran = await sdk.run("snapshot", *arguments(where.url, tmp_path / "s"))
    assert ran.code == ExitCode.REFUSED_BY_POLICY
    assert ran.err.startswith("tracker: ")


async def test_a_refusal_that_passes_costs_its_wait_only(sdk: Sdk) -> None:
    faults = Faults(refusal=Refusal(429, {"Retry-After": "1"}))
    async with running(chain(), faults) as where:
        task = asyncio.create_task(sdk.snapshot(where.url))
        await until(lambda: where.node.handshakes >= 1)
        where.node.faults.refusal = None
        assert_right(where, await task)


async def test_an_internal_error_on_one_call_is_retried(sdk: Sdk) -> None:
    async with running(chain(), Faults(fail_next={"state_queryStorageAt": 1})) as where:
        assert_right(where, await sdk.snapshot(where.url))


async def test_a_response_limit_of_1_mb_makes_smaller_chunks(sdk: Sdk) -> None:
    async with running(chain("full"), Faults(size_limit=1_000_000)) as where:
        taken = await sdk.snapshot(where.url)
        assert taken.count == FULL
        assert_right(where, taken)


async def test_129_networks_cost_at_most_40_calls_and_5_s_at_50_ms_latency(sdk: Sdk) -> None:
    async with running(chain("full"), Faults(delay_ms=50)) as where:
        taken = await sdk.snapshot(where.url)
        assert taken.count == FULL
        assert len(where.node.calls) <= 40  # connecting with an empty cache included
        # The node has encoded its state by now. Other work of this machine may slow one attempt down, not each of them.
        assert await fastest(lambda: sdk.snapshot(where.url), enough_seconds=5) <= 5


async def test_rows_that_are_missing_make_no_snapshot(sdk: Sdk) -> None:
    async with running(chain(), Faults(withhold_rows=3)) as where:
        with pytest.raises(IncompleteSnapshotError):
            await sdk.snapshot(where.url)


async def test_an_endpoint_that_is_not_there_is_unreachable_and_a_fallback_is_asked(sdk: Sdk) -> None:
    async with running(chain()) as where:
        with pytest.raises(ChainUnreachableError, match="--network URL"):
            await sdk.snapshot("ws://127.0.0.1:9")
        assert_right(where, await sdk.snapshot("ws://127.0.0.1:9", fallbacks=[where.url]))


async def test_the_local_network_is_found_through_the_sdks_own_variable(sdk: Sdk, tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    async with running(chain()) as where:
        options = arguments("local", folder, "--files-only")
        process = await sdk.start("snapshot", *options, **{sdk.endpoint_variable: where.url})
        async with asyncio.timeout(100):
            _, said = await process.communicate()
        assert process.returncode == ExitCode.OK, said.decode()
        (path,) = await asyncio.to_thread(lambda: list(folder.glob("snapshot_*.json")))
        assert files.read(path).network == "local"
        assert_right(where, files.read(path))


async def test_the_file_has_the_required_name_and_fields_and_a_second_run_adds_nothing(
    sdk: Sdk, tmp_path: Path
) -> None:
    folder = tmp_path / "snapshots"
    async with running(chain()) as where:
        first = await sdk.run("snapshot", *arguments(where.url, folder, "--json"))
        second = await sdk.run("snapshot", *arguments(where.url, folder, "--json"))
    assert (first.code, second.code) == (ExitCode.OK, ExitCode.OK)
    assert (first.document["new"], second.document["new"]) == (True, False)
    written = list(folder.glob("snapshot_*.json"))
    assert [path.name for path in written] == ["snapshot_2025-10-10T18-12-44+00-00.json"]
    document = json.loads(written[0].read_bytes())
    assert set(document) >= {"timestamp", "network", "subnets"}
    for netuid, entry in document["subnets"].items():
        assert set(entry) >= {"uid_hotkey_map", "n_neurons", "block"}
        assert (type(netuid), type(entry["n_neurons"]), type(entry["block"])) == (str, int, int)
        assert set(entry["uid_hotkey_map"]) == {str(uid) for uid in range(entry["n_neurons"])}
    assert files.read(written[0]).endpoint == "127.0.0.1"


@pytest.mark.parametrize(
    ("faults", "code"),
    [
        (Faults(refusal=Refusal(403)), ExitCode.REFUSED_BY_POLICY),
        (Faults(fail_next={"state_queryStorageAt": 1000}), ExitCode.UNREACHABLE),
        (Faults(withhold_rows=1), ExitCode.INCOMPLETE),
    ],
)
async def test_a_failed_scan_writes_nothing_and_says_why_by_its_exit_code(
    sdk: Sdk, tmp_path: Path, faults: Faults, code: ExitCode
) -> None:
    folder = tmp_path / "snapshots"
    async with running(chain(), faults) as where:
        ran = await sdk.run("snapshot", *arguments(where.url, folder))
    assert ran.code == code
    assert ran.err.startswith("tracker: ")
    assert not folder.exists()

"""The commands about seats against what the simulated chain knows: risk, arrivals, make-up, holders, tenure, prices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.chains import Running, chain, running, snapshot_of
from tests.support.sdks import Sdk, arguments
from tracker import files
from tracker.cli.main import answer
from tracker.errors import ExitCode

pytestmark = pytest.mark.service


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six snapshots as files."""
    source = chain()
    for block in (5_000_500, 5_002_015, 5_003_001, 5_004_010, 5_004_200, 5_009_997):
        files.write(snapshot_of(source, block), tmp_path / "snapshots")
    return tmp_path / "snapshots"


async def command(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """Run a command with `--json` and read what it says."""
    assert await answer([*words, "--json"]) == ExitCode.OK
    return json.loads(capsys.readouterr().out)


def hotkey_of(where: Running, netuid: int, uid: int) -> str:
    """Who sits there now."""
    uids = where.node.right_answer(where.node.chain.finalized)[netuid]["uids"]
    assert isinstance(uids, dict)
    return str(uids[uid])


async def test_both_generations_read_the_same_of_one_subnet(sdk: Sdk) -> None:
    async with running(chain()) as where:
        found = await sdk.call("subnet", url=where.url, netuid=3)
        state = where.node.chain.state(found["block"])[3]
        births = {netuid: subnet.registered_at for netuid, subnet in where.node.chain.state(found["block"]).items()}
    assert str(found["sdk"]).startswith(sdk.name)
    assert found["slot_milliseconds"] == 12_000
    assert [emission for _, emission, _, _ in found["neurons"]] == state.emission
    assert [taken for _, _, taken, _ in found["neurons"]] == state.registered
    assert [permit for *_, permit in found["neurons"]] == state.permits
    assert found["settings"] == [state.immunity_blocks, state.max_uids, state.burn_at(found["block"]), state.tempo]
    assert found["price_tao"] == 4.0
    assert found["holders"] == len(set(state.coldkeys))
    assert {netuid: birth for netuid, birth, _ in found["subnets"]} == births


async def test_my_neurons_are_found_in_every_subnet_and_named_with_their_place(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(chain()) as where:
        options = arguments(where.url, folder)
        mine = [hotkey_of(where, 3, 200), hotkey_of(where, 1, 0)]
        one = await command(capsys, "risk", "3", "--hotkey", mine[0], *options)
        monkeypatch.setenv("TRACKER_HOTKEYS", ", ".join(mine))
        both = await command(capsys, "risk", *options)
        assert await answer(["risk", *options]) == ExitCode.OK
    assert (one[0]["uid"], one[0]["position"], one[0]["of"]) == (200, 1, 255)
    assert one[0]["subnet"]["immune_blocks"] > 0
    assert {(row["netuid"], row["uid"], row["position"]) for row in both} == {(3, 200, 1), (1, 0, None)}
    assert "never (owner)" in capsys.readouterr().out


async def test_a_hotkey_without_a_seat_and_no_hotkey_are_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async with running(chain()) as where:
        options = arguments(where.url, tmp_path)
        assert await answer(["risk", "3", "--hotkey", "5nobody", *options]) == ExitCode.FAILED
        assert "in subnet 3" in capsys.readouterr().err
        assert await answer(["risk", "--hotkey", "5nobody", *options]) == ExitCode.FAILED
        assert "in any subnet" in capsys.readouterr().err
        assert await answer(["risk", "3", *options]) == ExitCode.USAGE
        assert await answer(["risk", "6", "--hotkey", "5nobody", *options]) == ExitCode.FAILED


async def test_arrivals_name_both_sides_and_those_who_replaced_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    async with running(chain()) as where:
        options = ("--network", where.url, "--first-block", "5009000", "--last-block", "5009500")
        found = await command(capsys, "arrivals", "1", *options)
        assert await answer(["arrivals", "1", *options, "--top", "2"]) == ExitCode.OK
        shown = capsys.readouterr().out
        truth = [row for row in where.node.truth(5_009_000, 5_009_500) if row["netuid"] == 1]
        before, owners = where.node.chain.state(5_009_000)[1], where.node.chain.owners
        holders = {uid: owners[hotkey] for uid, hotkey in enumerate(before.hotkeys)}
        own = 0
        for noted in where.node.chain.truth:
            if noted.netuid == 1 and 5_009_000 < noted.block <= 5_009_500 and noted.new is not None:
                own += owners[noted.new] in holders.values()
                holders[noted.uid] = owners[noted.new]
    assert [(row["block"], row["uid"], row["hotkey"], row["replaced"]) for row in found["rows"]] == [
        (row["block"], row["uid"], row["new"], row["old"]) for row in truth
    ]
    assert found["self_replacement_share"] == pytest.approx(own / len(truth))
    assert 0 < own < len(truth)
    assert (found["certainty"], found["registrations"]) == ("exact", len(truth))
    assert "own" in shown


async def test_arrivals_of_a_subnet_that_is_not_there_or_without_a_range_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with running(chain()) as where:
        where_to = ("--network", where.url)
        code = await answer(["arrivals", "6", "--first-block", "5009000", *where_to])
        assert code == ExitCode.FAILED
        assert "no such subnet" in capsys.readouterr().err
        assert await answer(["arrivals", "1", *where_to]) == ExitCode.USAGE


async def test_a_subnets_make_up_is_that_of_the_chain(capsys: pytest.CaptureFixture[str]) -> None:
    async with running(chain()) as where:
        found = await command(capsys, "subnet", "1", "--network", where.url, "--days", "0.5")
        assert await answer(["subnet", "3", "--network", where.url]) == ExitCode.OK
        state = where.node.chain.state(found["block"])[1]
    total, day = sum(state.emission), 7_200
    young = sum(
        paid for paid, taken in zip(state.emission, state.registered, strict=True) if found["block"] - taken < day
    )
    assert found["validators"]["count"] == sum(state.permits)
    assert found["young_emission"]["1"] == pytest.approx(young / total)
    assert found["change"]["miners"] == {"entered": 144, "left": 144, "from_other": 0, "to_other": 0}
    assert found["holders"]["by_seats"]["holders"] == len(set(state.coldkeys))
    assert "days to earn back" in capsys.readouterr().out


async def test_holders_are_counted_by_coldkey(capsys: pytest.CaptureFixture[str]) -> None:
    async with running(chain()) as where:
        found = await command(capsys, "holders", "3", "--network", where.url)
        assert await answer(["holders", "3", "--network", where.url]) == ExitCode.OK
        coldkeys = where.node.chain.state(found["block"])[3].coldkeys
    assert found["by_seats"]["holders"] == len(set(coldkeys))
    assert found["by_seats"]["largest_share"] == pytest.approx(3 / 256)
    assert "Holders of subnet 3" in capsys.readouterr().out


async def test_tenure_and_prices_come_from_the_store(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    source = chain()
    tenure = await command(capsys, "tenure", "1", "3", "--dir", str(folder), "--immunity-blocks", "100")
    prices = await command(capsys, "prices", "1", "--dir", str(folder))
    assert await answer(["tenure", "--dir", str(folder)]) == ExitCode.OK
    assert await answer(["prices", "1", "--dir", str(folder), "--days", "1"]) == ExitCode.OK
    assert [row["netuid"] for row in tenure] == [3, 1]
    assert tenure[1]["median_blocks"] > 0
    assert {row["certainty"] for row in tenure} == {"upper bound"}
    assert [row["lowest_rao"] for row in prices] == [
        min(source.state(block)[1].burn_at(block) for block in blocks)
        for blocks in ((5_000_500, 5_002_015, 5_003_001), (5_004_010, 5_004_200, 5_009_997))
    ]
    assert "Price of a seat in subnet 1" in capsys.readouterr().out
    assert await answer(["prices", "99", "--dir", str(folder)]) == ExitCode.NOT_ENOUGH_SNAPSHOTS


async def test_health_turns_bad_when_the_newest_snapshot_is_older_than_two_intervals(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    store = ["--dir", str(folder)]
    assert await answer(["list", *store]) == ExitCode.OK
    assert await answer(["health", *store]) == ExitCode.STALE
    assert "STALE: block 5,009,997" in capsys.readouterr().out
    fresh = await command(capsys, "health", *store, "--interval-minutes", "1e9")
    assert (fresh["block"], fresh["stale"]) == (5_009_997, False)
    assert await answer(["health", "--dir", str(tmp_path / "x")]) == ExitCode.NOT_ENOUGH_SNAPSHOTS
    assert "run `tracker snapshot`" in capsys.readouterr().err

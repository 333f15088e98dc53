"""Spec tracker 10.3, analysis: naive and corrected numbers of snapshots that either generation of the SDK took."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.chains import chain, running, snapshot_of
from tests.support.sdks import Sdk
from tracker import files
from tracker.cli.main import run
from tracker.errors import ExitCode

pytestmark = pytest.mark.service
BEFORE, AFTER = 5_000_997, 5_009_997


def analyzed(capsys: pytest.CaptureFixture[str], folder: Path, *options: str) -> dict[str, Any]:
    """What `tracker analyze` says of a folder."""
    assert run(["analyze", "--dir", str(folder), "--json", *options]) == ExitCode.OK
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def write(folder: Path, block: int, subnets: dict[int, str], network: str = "finney") -> Path:
    """A file of the earlier tool: subnets as words, letter i is the hotkey at uid i."""
    minute = block % 60
    document = {
        "timestamp": f"2026-01-01T{block // 60:02}:{minute:02}:00+00:00",
        "network": network,
        "subnets": {
            str(netuid): {"uid_hotkey_map": dict(enumerate(word)), "n_neurons": len(word), "block": block}
            for netuid, word in subnets.items()
        },
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"snapshot_{network}_{block}.json"
    path.write_text(json.dumps(document))
    return path


async def test_naive_and_corrected_numbers_are_those_of_the_table(
    sdk: Sdk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(chain()) as where:
        for block in (BEFORE, AFTER):
            files.write(await sdk.snapshot(where.url, number=block), tmp_path / "s")
        truth = [row for row in where.node.truth(BEFORE, AFTER) if row["netuid"] == 1]
    document = await asyncio.to_thread(analyzed, capsys, tmp_path / "s")
    rows = {row["netuid"]: row["totals"] for row in document["subnets"] if row["periods"]}
    assert len(truth) == 360
    assert rows[1]["replaced"] == 164
    assert (rows[3]["replaced"], rows[3]["true_replaced"], rows[3]["swapped"]) == (2, 1, 1)
    assert (rows[4]["replaced"], rows[4]["deregistered"]) == (61, 32)
    assert (rows[4]["true_replaced"], rows[4]["renumbered"], rows[4]["trimmed"]) == (0, 61, 32)
    assert 7 not in rows  # another life under the same number: nobody of it was replaced
    assert document["dissolved"] == document["created"] == [{"netuid": 7, "seen_by_block": AFTER}]


def test_averages_are_over_periods_of_unequal_length(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block, word in ((0, "abcd"), (300, "abcx"), (1_200, "xyzx")):
        write(tmp_path / "s", block, {1: word})
    (row,) = analyzed(capsys, tmp_path / "s")["subnets"]
    assert (row["periods"], row["blocks"], row["average_replacements"]) == (2, 1_200, 2.0)
    assert row["changes_per_day"] == 4 * 7_200 / 1_200
    assert row["replacement_percentage"] == 50.0


@pytest.mark.parametrize("count", [0, 1])
def test_no_snapshot_and_one_are_not_comparable(tmp_path: Path, capsys: pytest.CaptureFixture[str], count: int) -> None:
    for block in range(count):
        write(tmp_path / "s", block, {1: "ab"})
    assert run(["analyze", "--dir", str(tmp_path / "s")]) == ExitCode.NOT_ENOUGH_SNAPSHOTS
    assert "run `tracker snapshot`" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "{", '{"timestamp": "2026-01-01T00:00:00Z"'])
def test_a_broken_or_half_written_file_is_named_and_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    for block, word in ((0, "ab"), (9, "ax")):
        write(tmp_path / "s", block, {1: word})
    (tmp_path / "s" / "snapshot_half.json").write_text(content)
    (tmp_path / "s" / ".snapshot-being-written").write_text(content)
    assert run(["analyze", "--dir", str(tmp_path / "s"), "--json"]) == ExitCode.OK
    shown = capsys.readouterr()
    assert json.loads(shown.out)["snapshots"] == 2
    assert "snapshot_half.json is no snapshot" in shown.err
    assert "being-written" not in shown.err


def test_two_networks_are_never_mixed_or_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [write(tmp_path / "s", block, {1: "ab"}, network) for block, network in ((0, "finney"), (9, "test"))]
    assert run(["analyze", "--dir", str(tmp_path / "s")]) == ExitCode.STORAGE
    assert "name one with --network" in capsys.readouterr().err
    pair = ["--snapshot1", str(paths[0]), "--snapshot2", str(paths[1])]
    assert run(["compare", *pair]) == ExitCode.STORAGE
    assert "two networks cannot be compared" in capsys.readouterr().err


def test_a_subnet_in_one_snapshot_only_is_listed_last_with_empty_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "s", 0, {1: "ab"})
    write(tmp_path / "s", 9, {1: "ab", 5: "zz"})
    document = analyzed(capsys, tmp_path / "s")
    assert [row["netuid"] for row in document["subnets"]] == [1, 5]
    assert (document["subnets"][1]["average_replacements"], document["subnets"][1]["certainty"]) == (None, "unknown")
    assert document["created"] == [{"netuid": 5, "seen_by_block": 9}]


@pytest.mark.parametrize("by", ["replacements", "percentage", "deregistrations", "changes"])
def test_ties_go_by_netuid_and_2_comes_before_10(tmp_path: Path, capsys: pytest.CaptureFixture[str], by: str) -> None:
    write(tmp_path / "s", 0, {10: "abc", 2: "abc"})
    write(tmp_path / "s", 9, {10: "ax", 2: "ax"})
    assert [row["netuid"] for row in analyzed(capsys, tmp_path / "s", "--sort-by", by)["subnets"]] == [2, 10]


def test_compare_takes_either_order_and_says_which_is_older(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = chain()
    first, last = (files.write(snapshot_of(source, block), tmp_path)[0] for block in (BEFORE, AFTER))
    assert run(["compare", "--snapshot1", str(last), "--snapshot2", str(first), "--json"]) == ExitCode.OK
    document = json.loads(capsys.readouterr().out)
    assert (document["older"]["block"], document["newer"]["block"]) == (BEFORE, AFTER)
    assert document["certainty"] == "lower bound"

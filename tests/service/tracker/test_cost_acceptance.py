"""The acceptance checks of spec tracker 10.3 on prices, with the real SDK, and the names of the earlier tool."""

from __future__ import annotations

import asyncio
import csv
import json
from decimal import Decimal
from pathlib import Path

import pytest

import tracker
from lab.chain.chain import Chain
from lab.chain.subnets import Subnet
from tests.support.chains import chain, running
from tracker.chain.connect import Endpoint, connect
from tracker.cli.main import run
from tracker.cost import format_tao, implied_registrations, read_cost, read_costs, to_usd
from tracker.errors import ExitCode, UnknownSubnetError

pytestmark = pytest.mark.service


def with_oddities() -> Chain:
    """The small chain and two more subnets: a closed one, and one whose name a spreadsheet would calculate."""
    source = chain()
    source.add(Subnet(20, 4_000_020, registration_allowed=False), 5)
    source.add(Subnet(21, 4_000_021, name="=HYPERLINK(1)", symbol="@x"), 5)
    return source


async def test_the_price_at_the_snapshots_block_equals_the_truth_to_the_rao() -> None:
    async with running(with_oddities()) as where, connect(Endpoint(where.url)) as reader:
        found = await read_costs(reader)
        right = where.node.right_answer(found.costs[0].block)
    assert {cost.netuid: cost.burn_rao for cost in found.costs if cost.netuid} == {
        netuid: entry["burn"] for netuid, entry in right.items() if netuid
    }
    assert [cost.burn_rao or 0 for cost in found.costs[:-1]] == sorted(cost.burn_rao or 0 for cost in found.costs[:-1])
    assert found.costs[-1].netuid == 0
    assert found.costs[-1].burn_rao is None
    assert len({cost.block_hash for cost in found.costs}) == 1


async def test_all_prices_are_read_in_one_request_each() -> None:
    async with running(chain("full")) as where, connect(Endpoint(where.url)) as reader:
        where.node.calls.clear()
        found = await read_costs(reader)
        assert len(found.costs) == 129
        assert len(where.node.calls) <= 30


async def test_a_missing_subnet_is_named_and_not_priced() -> None:
    async with running(chain()) as where, connect(Endpoint(where.url)) as reader:
        with pytest.raises(UnknownSubnetError, match="no such subnet: 6"):
            await read_cost(reader, 6)
        found = await read_costs(reader, [6, 1])
    assert found.missing == (6,)
    assert [cost.netuid for cost in found.costs] == [1]


async def test_a_closed_subnet_says_so() -> None:
    async with running(with_oddities()) as where, connect(Endpoint(where.url)) as reader:
        assert (await read_cost(reader, 20)).allowed is False
        assert (await read_cost(reader, 1)).allowed is True


async def test_prices_imply_registrations_where_no_bound_was_touched() -> None:
    async with running(chain()) as where, connect(Endpoint(where.url)) as reader:
        where.node.chain.head = 5_004_603
        before = await read_cost(reader, 7)
        where.node.chain.head = 5_005_803
        after = await read_cost(reader, 7)
        truth = [row for row in where.node.truth(before.block, after.block) if row["netuid"] == 7]
    implied = implied_registrations(before, after)
    assert implied is not None
    assert round(implied) == len(truth)


async def test_the_csv_parses_holds_one_block_and_no_formula(tmp_path: Path) -> None:
    path = tmp_path / "costs.csv"
    async with running(with_oddities()) as where:
        code = await asyncio.to_thread(run, ["cost", "--network", where.url, "--csv", str(path), "--json"])
    assert code == ExitCode.OK
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 9
    assert len({row["block"] for row in rows}) == 1
    by_netuid = {row["netuid"]: row for row in rows}
    assert by_netuid["21"]["name"] == "'=HYPERLINK(1)"
    assert by_netuid["21"]["symbol"] == "'@x"
    assert by_netuid["0"]["burn_rao"] == ""


async def test_the_command_shows_missing_subnets_and_dollars(capsys: pytest.CaptureFixture[str]) -> None:
    async with running(chain()) as where:
        options = ["--network", where.url, "--tao-price-usd", "400"]
        assert await asyncio.to_thread(run, ["cost", "2", "9", *options]) == ExitCode.FAILED
        shown = capsys.readouterr()
        assert await asyncio.to_thread(run, ["cost", "2", "--network", where.url, "--tao-price-usd", "nan"]) == 2
    assert "0.2000" in shown.out
    assert "no such subnet: 9" in shown.err


def test_dollars_are_exact_and_need_a_real_price() -> None:
    assert to_usd(1_500_000_000, "400.10") == Decimal("600.15")
    for price in ("0", "-1", "nan", "inf"):
        with pytest.raises(ValueError, match="positive number"):
            to_usd(1, price)


@pytest.mark.parametrize(
    ("rao", "text"), [(None, "-"), (0, "0"), (1, "0.000000001"), (500_000, "0.0005"), (2_612_345_678, "2.6123")]
)
def test_small_prices_are_never_rounded_to_nothing(rao: int | None, text: str) -> None:
    assert format_tao(rao) == text


async def test_the_names_of_the_earlier_tool_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(chain()) as where:

        def use() -> None:
            one = tracker.get_registration_cost(1, where.url)
            assert one.burn_rao == where.node.right_answer(one.block)[1]["burn"]
            pair = tracker.compare_registration_costs([1, 2, 6], where.url)
            assert ([cost.netuid for cost in pair.costs], pair.missing) == ([2, 1], (6,))
            assert tracker.estimate_registration_usd(2, 400, where.url) == Decimal("0.2")
            with pytest.raises(ValueError, match="no burn registration"):
                tracker.estimate_registration_usd(0, 400, where.url)
            assert len(tracker.get_all_subnet_costs(tmp_path / "all.csv", where.url)) == 7
            front = tracker.SubnetCompetitionTracker(where.url, tmp_path / "s")
            first = front.take_snapshot()
            where.node.chain.head += 1_000
            second = front.take_snapshot()
            assert front.analyze_competition("percentage").rows[0].netuid == 1
            assert front.compare_snapshots(second, first).blocks == 1_000
            front.print_competition_ranking()

        await asyncio.to_thread(use)
    assert "Competition by replacements" in capsys.readouterr().out
    assert (tmp_path / "all.csv").read_text().startswith("netuid,name")
    with pytest.raises(AttributeError, match="no attribute"):
        _ = tracker.nothing


async def test_a_neuron_at_risk_is_shown_with_its_place(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    async with running(chain()) as where:
        state = where.node.right_answer(where.node.chain.finalized)[3]["uids"]
        assert isinstance(state, dict)
        options = ["--network", where.url, "--dir", str(tmp_path), "--json"]
        assert await asyncio.to_thread(run, ["risk", "3", "--hotkey", state[200], *options]) == ExitCode.OK
        first = json.loads(capsys.readouterr().out)
        assert await asyncio.to_thread(run, ["risk", "3", "--hotkey", "5nobody", *options]) == ExitCode.FAILED
        assert await asyncio.to_thread(run, ["risk", "3", *options]) == ExitCode.USAGE
        assert await asyncio.to_thread(run, ["risk", "6", "--hotkey", "5nobody", *options]) == ExitCode.FAILED
    assert (first[0]["uid"], first[0]["position"], first[0]["of"]) == (200, 1, 255)

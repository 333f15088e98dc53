"""Spec tracker 10.3, cost: prices against the simulated chain's own truth, with both generations of the SDK."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from lab.chain.chain import Chain
from lab.chain.subnets import Subnet
from tests.support.chains import chain, running
from tests.support.sdks import Sdk, arguments
from tracker.errors import ExitCode

pytestmark = pytest.mark.service


def with_oddities() -> Chain:
    """The small chain and two more subnets: a closed one, and one whose name a spreadsheet would calculate."""
    source = chain()
    source.add(Subnet(20, 4_000_020, registration_allowed=False), 5)
    source.add(Subnet(21, 4_000_021, name="=HYPERLINK(1)", symbol="@x"), 5)
    return source


async def test_the_price_at_the_snapshots_block_equals_the_truth_to_the_rao(sdk: Sdk) -> None:
    async with running(with_oddities()) as where:
        rows: list[dict[str, Any]] = (await sdk.call("costs", url=where.url))["costs"]
        right = where.node.right_answer(rows[0]["block"])
    assert {row["netuid"]: row["burn_rao"] for row in rows if row["netuid"]} == {
        netuid: entry["burn"] for netuid, entry in right.items() if netuid
    }
    prices = [row["burn_rao"] for row in rows[:-1]]
    assert prices == sorted(prices)
    assert (rows[-1]["netuid"], rows[-1]["burn_rao"]) == (0, None)
    assert len({row["block_hash"] for row in rows}) == 1


async def test_all_prices_are_read_in_one_request_each(sdk: Sdk) -> None:
    async with running(chain("full")) as where:
        found = await sdk.call("costs", url=where.url)
        assert len(found["costs"]) == 129
        assert len(where.node.calls) <= 40  # connecting included


async def test_a_missing_subnet_is_named_and_not_priced(sdk: Sdk) -> None:
    async with running(chain()) as where:
        found = await sdk.call("costs", url=where.url, netuids=[6, 1])
        ran = await sdk.run("cost", "2", "9", "--network", where.url, "--tao-price-usd", "400")
    assert (found["missing"], [row["netuid"] for row in found["costs"]]) == ([6], [1])
    assert ran.code == ExitCode.FAILED
    assert "no such subnet: 9" in ran.err
    assert "0.2000" in ran.out


async def test_a_closed_subnet_says_so(sdk: Sdk) -> None:
    async with running(with_oddities()) as where:
        rows = (await sdk.call("costs", url=where.url, netuids=[20, 1]))["costs"]
    assert {row["netuid"]: row["allowed"] for row in rows} == {20: False, 1: True}


async def test_dollars_are_those_reckoned_by_hand_and_need_a_real_price(sdk: Sdk) -> None:
    async with running(chain()) as where:
        ran = await sdk.run("cost", "2", "--network", where.url, "--tao-price-usd", "401")
        bad = await sdk.run("cost", "2", "--network", where.url, "--tao-price-usd", "nan")
    assert "0.2005" in ran.out  # 0.0005 TAO at 401 dollars
    assert bad.code == ExitCode.USAGE
    assert "positive number" in bad.err


async def test_the_csv_parses_holds_one_block_and_no_formula(sdk: Sdk, tmp_path: Path) -> None:
    path = tmp_path / "costs.csv"
    async with running(with_oddities()) as where:
        ran = await sdk.run("cost", *arguments(where.url, tmp_path, "--csv", str(path), "--json"))
    assert ran.code == ExitCode.OK
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 9
    assert len({row["block"] for row in rows}) == 1
    by_netuid = {row["netuid"]: row for row in rows}
    assert by_netuid["21"]["name"] == "'=HYPERLINK(1)"
    assert by_netuid["21"]["symbol"] == "'@x"
    assert by_netuid["0"]["burn_rao"] == ""

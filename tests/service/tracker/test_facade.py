"""The names of the earlier tool, imported and called as it was, against the simulated chain."""

from __future__ import annotations

import asyncio
import inspect
from decimal import Decimal
from pathlib import Path

import pytest

import tracker
from tests.support.chains import chain, running
from tracker.cost import SubnetCost

pytestmark = pytest.mark.service


async def test_the_names_of_the_earlier_tool_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(chain()) as where:

        def use() -> None:
            one = tracker.get_registration_cost(1, where.url)
            assert isinstance(one, SubnetCost)
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


def test_the_earlier_tools_parameters_have_its_names() -> None:
    names = {
        "get_registration_cost": ["netuid"],
        "compare_registration_costs": ["netuids"],
        "estimate_registration_usd": ["netuid", "tao_price_usd"],
        "get_all_subnet_costs": ["output_csv"],
    }
    for name, wanted in names.items():
        assert list(inspect.signature(getattr(tracker, name)).parameters)[: len(wanted)] == wanted
    with pytest.raises(AttributeError, match="no attribute"):
        _ = tracker.nothing

"""The older generation of the SDK gives the same answers (spec tracker 2.1, 10.3), from an environment of its own."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.chains import chain, running
from tests.support.environments import environment
from tracker import files

pytestmark = [pytest.mark.service, pytest.mark.timeout(600)]
REQUIREMENTS = (
    "bittensor==10.5.0",
    "cyclopts>=4",
    "orjson>=3.10",
    "pydantic-settings>=2.8",
    "rich>=14",
    "sqlalchemy[asyncio]>=2.0.40",
)
AFTER = 5_009_500


async def answers(python: Path, url: str) -> dict[str, Any]:
    root = Path(__file__).parents[3]
    process = await asyncio.create_subprocess_exec(
        *(str(python), "-m", "tests.support.legacy_snapshot", url, str(AFTER)),
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(180):
        output, _ = await process.communicate()
    assert process.returncode == 0
    parsed: dict[str, Any] = json.loads(output.splitlines()[-1])
    return parsed


async def test_bittensor_10_5_reads_the_same_chain() -> None:
    python = await asyncio.to_thread(environment, "bittensor-10.5.0", REQUIREMENTS)
    async with running(chain()) as where:
        document = await answers(python, where.url)
        calls = len(where.node.calls)
        taken = files.decode(json.dumps(document["snapshot"]).encode())
        right = where.node.right_answer(taken.block)
        truth = where.node.truth(AFTER, taken.block)
    assert document["sdk"] == "bittensor 10.5.0"
    assert document["slot"] == 12_000
    assert {netuid: subnet.hotkeys for netuid, subnet in taken.subnets.items()} == {
        netuid: entry["uids"] for netuid, entry in right.items()
    }
    assert {netuid: subnet.burn_rao for netuid, subnet in taken.subnets.items()} == {
        netuid: entry["burn"] for netuid, entry in right.items()
    }
    expected = Counter(str(row["netuid"]) for row in truth if row["kind"] in ("append", "replace"))
    assert document["counts"] == dict(expected)
    assert [cost["netuid"] for cost in document["costs"]] == [2, 1]
    assert [cost["burn_rao"] for cost in document["costs"]] == [right[2]["burn"], right[1]["burn"]]
    assert document["missing"] == [6]
    assert document["emission"] == where.node.chain.state(taken.block)[3].emission
    assert document["owner"].startswith("5")
    assert calls > 0

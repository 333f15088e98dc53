"""The parts meet without root: real programs, databases and API servers; nodes, pods, GPUs, validator are SIMULATED."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.protocol.signing import Signer
from lab.embedded.__main__ import nodes
from lab.embedded.day import Market, Timeline, active_instances, first_inference
from lab.embedded.fleet import EmbeddedFleet, embedded_fleet
from lab.validator.scenarios import confidential_demand
from tests.support.control import VALIDATOR
from tests.support.waiting import until

pytestmark = [pytest.mark.service, pytest.mark.timeout(400)]

MINER = Signer.from_seed("7e" * 32)
SECONDS = 150.0
FIRST, SECOND = nodes("fe")


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[EmbeddedFleet]:
    keys = {"ss58": MINER.ss58, "seed": "7e" * 32, "validator": VALIDATOR.ss58}
    async with embedded_fleet(tmp_path, keys, [FIRST], print) as found:
        yield found


async def test_demand_is_served_a_further_node_earns_and_what_is_not_wanted_any_more_goes(fleet: EmbeddedFleet) -> None:
    market, timeline = Market(fleet.validator.url), Timeline()
    timeline.note("demand")
    await confidential_demand(fleet.validator)
    instance = await first_inference(market, timeline, SECONDS)
    assert instance["host"] == FIRST.address
    answer = await market.infer(instance["chute_id"])
    assert answer["answer"]["simulated"] is True
    assert answer["answer"]["number"] == 2

    await fleet.add_node(SECOND)
    timeline.note("second node admitted")

    def on_second(state: dict[str, dict[str, object]]) -> bool:
        return any(item["host"] == SECOND.address for item in active_instances(state))

    await market.wait("an active instance on the second node", on_second, SECONDS)
    timeline.note("second node earns")

    # Both chutes are gone at the validator: their copies end, and none of the GPUs stays taken.
    for _ in range(2):
        await market.play("delete_chute")

    async def pods_are_gone() -> bool:
        counts = []
        for cluster in fleet.clusters.values():
            async with cluster.client() as http:
                counts.append(len((await http.get("/api/v1/namespaces/chutes/pods")).json()["items"]))
        return sum(counts) == 0

    await market.wait("no instance", lambda state: not state["instances"], SECONDS)
    await until(pods_are_gone, seconds=60)
    await market.close()
    assert timeline.seconds_of("second node earns") > timeline.seconds_of("request answered")

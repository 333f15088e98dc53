"""The parts as one product: demand at the SIMULATED validator becomes a container on a lab node that answers requests.

The tests of this file follow one another, as a day of operation does; its timeline is shown after the tests.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.protocol.ports import NodePort
from lab.embedded.day import Market, Timeline, active_instances, answered, first_inference
from lab.fleet.engine import committed_stack
from lab.fleet.market import Market as MarketProcesses
from lab.hosts.models import gateway_of
from tests.support.further_node import further_node
from tests.support.lab import Lab
from tests.support.lab_commands import headframe, kubectl
from tests.support.waiting import answers, until

pytestmark = [pytest.mark.e2e, pytest.mark.host, pytest.mark.timeout(2700)]

START_SECONDS = 300.0
MOVE_SECONDS = 420.0
FURTHER = ("gpu-2", "198.18.0.14")


@pytest.fixture
async def market(settled: Lab) -> AsyncIterator[Market]:
    address = str(gateway_of(settled.fleet.network))
    found = Market(MarketProcesses(settled.engine.state, address).validator_url)
    yield found
    await found.close()


def addresses(lab: Lab) -> dict[str, str]:
    return {host.name: host.address for host in lab.fleet.hosts}


def on(lab: Lab, name: str, state: dict[str, Any]) -> list[dict[str, Any]]:
    """Active instances on one node, oldest first."""
    return [item for item in active_instances(state) if item["host"] == addresses(lab)[name]]


async def earning(lab: Lab, market: Market, name: str) -> dict[str, Any]:
    """The oldest active instance on one node, once there is one."""
    [instance, *_] = await market.wait(f"an active instance on {name}", functools.partial(on, lab, name), MOVE_SECONDS)
    return dict(instance)


def gpu_of(name: str) -> str:
    """Short reference of a node's GPUs, as the stack file has it."""
    nodes = committed_stack()["config"]["headframe:gpu_nodes"]
    return next(str(node["gpu"]) for node in nodes if node["name"] == name)


def fitting(state: dict[str, Any], gpu: str) -> list[str]:
    """Chutes that one GPU of a model can serve."""
    found = {key: chute["node_selector"] for key, chute in state["chutes"].items()}
    return [key for key, wants in found.items() if wants["gpu_count"] == 1 and gpu in wants["supported_gpus"]]


def chute_pods(lab: Lab, name: str) -> int:
    """Pods of chutes on one node that have not ended. One that has may be listed until its Job is gone."""
    unfinished = "status.phase!=Succeeded,status.phase!=Failed"
    return len(kubectl(lab, name, f"get pods -l chutes/chute=true --field-selector={unfinished} -o name").split())


async def test_pulumi_up_alone_has_registered_every_node_and_the_validator_has_verified_its_gpus(
    settled: Lab, market: Market
) -> None:
    state = await market.state()
    servers = {server["name"]: server["ip"] for server in state["servers"].values()}
    assert servers == {name: addresses(settled)[name] for name in settled.gpu_nodes}
    assert all(gpu["verified_at"] and "SIMULATED" in gpu["name"] for gpu in state["nodes"].values())
    assert len(state["nodes"]) == len(settled.gpu_nodes)


async def test_a_request_of_the_validator_is_answered_by_a_container_that_gepetto_launched(
    settled: Lab, market: Market, timeline: Timeline
) -> None:
    instance = await first_inference(market, timeline, START_SECONDS)
    name = next(name for name, address in addresses(settled).items() if address == instance["host"])
    assert name in settled.gpu_nodes
    pods = settled.fleet.ssh(name, "k3s kubectl -n chutes get pods -l chutes/chute=true -o jsonpath='{.items[*].spec}'")
    assert "localregistry" in pods, "the image came through the node's registry proxy"
    log = await market.log()
    assert any(line["path"].startswith("/v2/") for line in log["asked"]), "the validator's registry was asked"


async def test_a_further_node_is_one_entry_of_the_list_and_earns(
    settled: Lab, market: Market, timeline: Timeline
) -> None:
    name, address = FURTHER
    await market.play("rising_demand")  # else what runs already is all that anybody wants
    timeline.note(f"{name} is added to the list")
    with further_node(settled, name, address) as lab:
        added = await asyncio.to_thread(lab.up)
        assert added.status == 0, added.output
        assert added.replaces == []
        timeline.note(f"{name} is admitted")

        def earns(state: dict[str, Any]) -> list[dict[str, Any]]:
            return [item for item in active_instances(state) if item["host"] == address]

        [instance, *_] = await market.wait(f"an active instance on {name}", earns, MOVE_SECONDS)
        answer = await answered(market, instance["chute_id"], START_SECONDS)
        assert answer["status"] == 200
        timeline.note(f"{name} earns")
        timeline.report("from a new entry of the list to a node that earns", "is added to the list", f"{name} earns")

    def gone(state: dict[str, Any]) -> bool:
        return all(server["name"] != name for server in state["servers"].values())

    await market.wait(f"{name} forgotten by the validator", gone, MOVE_SECONDS)
    timeline.note(f"{name} is taken out of the list and forgotten")


async def test_a_bounty_moves_the_gpu_of_a_chute_whose_demand_falls(
    settled: Lab, market: Market, timeline: Timeline
) -> None:
    name = settled.gpu_nodes[-1]
    before = await earning(settled, market, name)
    left, state = before["chute_id"], await market.state()
    paying = next(chute for chute in fitting(state, gpu_of(name)) if chute != left)
    title = {chute: state["chutes"][chute]["name"] for chute in (left, paying)}
    await market.play("bounty", paying)
    timeline.note(f"a bounty is put on {title[paying]}")
    await market.play("falling_demand", left)
    timeline.note(f"demand for {title[left]}, which runs on {name}, falls: the validator ends its copies")

    def claimed(state: dict[str, Any]) -> list[dict[str, Any]]:
        return [item for item in on(settled, name, state) if item["chute_id"] == paying and item.get("bounty")]

    [after, *_] = await market.wait(f"the bounty claimed by a copy on {name}", claimed, MOVE_SECONDS)
    assert after["gpus"] == before["gpus"], "the same GPU"
    assert (await market.state())["bounties"] == {}
    answer = await answered(market, paying, START_SECONDS)
    assert (answer["status"], answer["instance_id"]) == (200, after["instance_id"])
    timeline.note(f"{name} runs {title[paying]}, has claimed the bounty and answers")
    timeline.report("from fallen demand to the bounty earned on the same GPU", "falls: the validator", "has claimed")
    assert chute_pods(settled, name) == 1
    await market.play("rising_demand")  # of every chute, as before


async def test_a_drained_node_has_nothing_at_the_validator_and_earns_again_when_it_is_open(
    settled: Lab, market: Market, timeline: Timeline
) -> None:
    name = settled.gpu_nodes[-1]
    before = await earning(settled, market, name)
    timeline.note(f"headframe drain {name}")
    await asyncio.to_thread(headframe, settled, "drain", name)
    state = await market.state()
    assert [item for item in state["instances"].values() if item["host"] == addresses(settled)[name]] == []
    assert chute_pods(settled, name) == 0
    timeline.note(f"{name} is drained: its copies ended at the validator, then in its cluster")
    await asyncio.to_thread(headframe, settled, "open", name)
    after = await earning(settled, market, name)
    assert after["instance_id"] != before["instance_id"]
    assert (await answered(market, after["chute_id"], START_SECONDS))["status"] == 200
    timeline.note(f"{name} is open again and earns")
    timeline.report("from the wish to drain to a node without copies", "headframe drain", "is drained: its copies")


async def test_a_control_host_without_power_comes_back_and_nothing_is_lost(
    settled: Lab, market: Market, timeline: Timeline
) -> None:
    before = await market.state()
    instances = {key for key, item in before["instances"].items() if item["active"]}
    assert instances
    await asyncio.to_thread(settled.fleet.kill, settled.control)
    timeline.note("the control host has no power")
    [instance, *_] = active_instances(await market.state())
    assert (await market.infer(instance["chute_id"]))["status"] == 200, "chutes run without the control host"
    await asyncio.to_thread(settled.fleet.boot)
    ready = f"http://{addresses(settled)[settled.control]}:{int(NodePort.MINER_API)}/ready"
    await until(functools.partial(answers, ready), seconds=300, every=0.5)
    timeline.note("the control host is back, the miner API answers")
    again = await asyncio.to_thread(settled.up)
    assert again.status == 0, again.output
    assert again.replaces == []
    after = await market.state()
    assert after["servers"].keys() == before["servers"].keys()
    assert after["nodes"].keys() == before["nodes"].keys()
    assert instances <= after["instances"].keys()
    timeline.note("nothing was lost")

"""A start whose place another miner's copy took gives its GPUs back, on the validator's own word and not on absence."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.decide import decide
from app.gepetto.decision.gate import Spent, pass_gate
from app.gepetto.decision.intents import Evidence, Terminate
from app.gepetto.decision.memory import Memory
from app.gepetto.ingest.feeds import FeedReader
from app.gepetto.ingest.world import World
from app.gepetto.world.snapshot import Snapshot, SourceName
from app.gepetto.world.views import ChuteView, DeploymentState, DeploymentView, Source
from app.protocol.chutes import ChuteRecord, NodeSelector, Utilization
from app.protocol.instances import ActiveInstance
from tests.support.gepetto import HOTKEY, NOW, instance_of, make_chute, make_deployment, make_server, make_snapshot
from tests.support.gepetto_outside import FakeValidator

SERVER = make_server(free_mask=0xFE)
TAKEN = make_chute(public=False, target=1, live=2, global_active=1, others_active=1)


def start(chute: ChuteView = TAKEN, **changes: object) -> DeploymentView:
    """A copy on its way for two minutes."""
    starting = {"state": DeploymentState.LAUNCHED, "created_at": NOW - 120, "since": NOW - 120, "activated_at": None}
    return make_deployment("d1", SERVER, chute, 1, **(starting | {"instance_id": None} | changes))


def world(chute: ChuteView = TAKEN, row: DeploymentView | None = None, **changes: object) -> Snapshot:
    return make_snapshot((SERVER,), (chute,), (row or start(chute),), **changes)


def endings(snapshot: Snapshot, readings: int = 2, renewed: tuple[str, ...] | None = None) -> list[Evidence]:
    """What so many decisions in a row want ended, each on newer readings (of those sources only)."""
    memory, found = Memory(), []
    for step in range(readings):
        sources = {
            name: replace(source, completed_at=(source.completed_at or 0.0) + step)
            if renewed is None or name in renewed
            else source
            for name, source in snapshot.sources.items()
        }
        intents, memory = decide(replace(snapshot, now=NOW + step, sources=sources), Configuration(), memory)
        found = [intent.evidence for intent in intents if isinstance(intent, Terminate)]
    return found


@pytest.mark.parametrize("state", [DeploymentState.LAUNCHED, DeploymentState.KNOWN, DeploymentState.VERIFIED])
def test_a_start_for_a_place_that_others_took_is_given_up_after_two_readings(state: DeploymentState) -> None:
    snapshot = world(row=start(state=state))
    assert endings(snapshot, 1) == []
    assert endings(snapshot, 2) == [Evidence.BOUNTY_LOST]


@pytest.mark.parametrize(
    ("chute", "row"),
    [
        pytest.param(replace(TAKEN, others_active=0), start(), id="the active copy is ours"),
        pytest.param(replace(TAKEN, target=2), start(), id="the validator wants one more"),
        pytest.param(replace(TAKEN, target=None), start(), id="what it wants is unknown"),
        pytest.param(replace(TAKEN, target=0), start(), id="it wants none and refuses none"),
        pytest.param(replace(TAKEN, public=True), start(make_chute()), id="a public chute"),
        pytest.param(TAKEN, start(job_id="job"), id="a job"),
        pytest.param(TAKEN, start(state=DeploymentState.RESERVED), id="not launched yet"),
        pytest.param(
            TAKEN,
            start(state=DeploymentState.ACTIVE, activated_at=NOW - 10, instance_id="instance-d1"),
            id="active all the same",
        ),
    ],
)
def test_a_start_that_may_still_win_goes_on(chute: ChuteView, row: DeploymentView) -> None:
    assert endings(world(chute, row)) == []


def test_a_copy_that_the_validator_calls_active_goes_on_although_its_row_is_behind() -> None:
    row = start(instance_id="instance-d1")
    instance = replace(instance_of(make_deployment("d1", SERVER, TAKEN, 1)), active=True)
    assert endings(world(row=row, instances=(instance,))) == []


@pytest.mark.parametrize("name", [SourceName.ACTIVE_INSTANCES, SourceName.UTILIZATION, SourceName.INSTANCES])
def test_nothing_is_given_up_on_readings_that_are_stale_partial_or_the_same(name: SourceName) -> None:
    snapshot = world()
    for broken in (Source(), Source(NOW - 3600, complete=True), Source(NOW, complete=False)):
        assert endings(replace(snapshot, sources={**snapshot.sources, name.value: broken})) == []
    others = tuple(other for other in snapshot.sources if other != name.value)
    assert endings(snapshot, 3, renewed=others) == []


def test_the_gate_lets_it_pass_without_a_budget_and_never_for_an_active_copy() -> None:
    lost = Terminate("d1", Evidence.BOUNTY_LOST)
    spent = Spent(copies=(NOW - 1,) * 9)
    assert pass_gate(world(), (lost,), Configuration(), spent)[0] == (lost,)
    assert pass_gate(world(), (lost,), Configuration(), spent)[2].copies == spent.copies
    for chute in (replace(TAKEN, others_active=0), replace(TAKEN, public=True)):  # its word alone is not enough
        assert pass_gate(world(chute, start(chute)), (lost,), Configuration(), spent)[0] == ()
    active = world(row=make_deployment("d1", SERVER, TAKEN, 1, public=False))
    assert pass_gate(active, (lost,), Configuration(), Spent())[0] == ()


def test_others_are_those_under_other_hotkeys_in_a_list_that_is_fresh() -> None:
    now = [NOW]
    validator, seen = FakeValidator(), World(HOTKEY)
    reader = FeedReader(seen, validator, None, lambda: now[0])  # type: ignore[arg-type]
    reader.write_definitions = _nothing  # type: ignore[method-assign]
    validator.chute_list = [ChuteRecord(chute_id="c", version="1", node_selector=NodeSelector())]
    validator.usage = [Utilization(chute_id="c", target_count=1, total_instance_count=3)]
    validator.active_list = [
        ActiveInstance(instance_id=f"i{number}", chute_id="c", miner_hotkey=hotkey, activated_at=activated)
        for number, (hotkey, activated) in enumerate(
            [(HOTKEY, "2026-01-01T00:00:00Z"), ("5Other", "2026-01-01T00:00:00Z"), ("5Another", None)]
        )
    ]
    asyncio.run(reader.refresh())
    [chute] = seen.snapshot(NOW).chutes
    assert (chute.global_active, chute.others_active) == (2, 1)
    [chute] = seen.snapshot(NOW + seen.fresh_seconds + 1).chutes
    assert (chute.global_active, chute.others_active) == (0, 0)


async def _nothing() -> int:
    """Definitions are not written: there is no database here."""
    return 0

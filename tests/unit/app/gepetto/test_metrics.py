"""Metrics of Gepetto (spec: gepetto 24.5)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.gepetto.decision.intents import Evidence, Launch, RecordInstance, RemoveOrphan, Swap, Terminate
from app.gepetto.metrics import Metrics
from app.gepetto.world.views import DeploymentState
from tests.support.gepetto import NOW, make_chute, make_deployment, make_server, make_snapshot

SERVER, CHUTE = make_server(free_mask=0x0F), make_chute()
WORLD = make_snapshot((SERVER,), (CHUTE,))


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


def test_every_stage_of_a_launch_is_timed_once() -> None:
    metrics = Metrics()
    row = make_deployment(
        "d", SERVER, CHUTE, 0x10, state=DeploymentState.RESERVED, created_at=NOW, since=NOW, activated_at=None,
        verified_at=None, config_id=None, instance_id=None,
    )  # fmt: skip
    metrics.saw(WORLD)
    metrics.saw(replace(WORLD, now=NOW, deployments=(row,)))
    row = replace(row, config_id="c", instance_id="i", verified_at=NOW + 40)
    metrics.saw(replace(WORLD, now=NOW + 50, deployments=(row,)))
    row = replace(row, activated_at=NOW + 90, state=DeploymentState.ACTIVE)
    for later in (100, 200):
        metrics.saw(replace(WORLD, now=NOW + later, deployments=(row,)))
    assert value(metrics, "gepetto_stage_seconds_sum", stage="verified") == 50
    assert value(metrics, "gepetto_stage_seconds_sum", stage="active") == 100
    assert value(metrics, "gepetto_stage_seconds_count", stage="active") == 1


def test_copies_that_were_there_at_the_start_are_not_timed() -> None:
    metrics = Metrics()
    metrics.saw(replace(WORLD, deployments=(make_deployment("d", SERVER, CHUTE, 0x10),)))
    assert value(metrics, "gepetto_stage_seconds_count", stage="active") == 0


def test_what_a_swap_really_brings_is_counted_beside_what_was_predicted() -> None:
    metrics = Metrics()
    victim = make_deployment("v", SERVER, CHUTE, 0x10, multiplier=0.4)
    swap = Swap(("v",), Launch("chute-001", "1", SERVER.id, 0x10), 2.5)
    metrics.saw(replace(WORLD, deployments=(victim,)))
    metrics.decided(0.01, (swap,), ())
    metrics.ended(swap, "launched")
    metrics.saw(replace(WORLD, now=NOW + 1800, deployments=()))  # half an hour of nothing
    better = make_deployment("n", SERVER, make_chute(1), 0x10, multiplier=1.4)
    metrics.saw(replace(WORLD, now=NOW + 5400, deployments=(better,)))  # an hour at 1.4 instead of 0.4
    assert value(metrics, "gepetto_swap_gain_predicted_total") == 2.5
    assert value(metrics, "gepetto_swap_gain_realised") == pytest.approx(0.8)
    metrics.saw(replace(WORLD, now=NOW + 7 * 3600, deployments=(better,)))
    assert value(metrics, "gepetto_swap_gain_realised") == pytest.approx(0.8)  # beyond the prediction's horizon


def test_a_swap_that_failed_is_not_followed() -> None:
    metrics = Metrics()
    swap = Swap(("v",), Launch("chute-001", "1", SERVER.id, 0x10), 2.5)
    metrics.saw(WORLD)
    metrics.decided(0.01, (swap,), ())
    metrics.ended(swap, "refused")
    assert value(metrics, "gepetto_swap_gain_predicted_total") == 0
    assert value(metrics, "gepetto_launch_refused_total", chute="chute-001") == 1


def test_differences_are_counted_by_their_evidence() -> None:
    metrics = Metrics()
    intents = (
        Terminate("d", Evidence.ABSENT_POD), RemoveOrphan("o", SERVER.id), RecordInstance("d", "i", True, True),
    )  # fmt: skip
    metrics.decided(0.01, intents, ())
    assert value(metrics, "gepetto_differences_total", evidence="absent_pod") == 1
    assert value(metrics, "gepetto_differences_total", evidence="absent_row") == 1
    assert value(metrics, "gepetto_differences_total", evidence="unrecorded") == 1


def test_idle_gpus_have_a_cause_and_an_unpaid_end_is_forfeited() -> None:
    metrics = Metrics()
    young = make_deployment("d", SERVER, CHUTE, 0x10, activated_at=NOW - 100)
    locked = make_server(1, locked=True, free_mask=1)
    metrics.saw(replace(WORLD, servers=(SERVER, locked), deployments=(young,)))
    metrics.saw(replace(WORLD, servers=(SERVER, locked), now=NOW + 10))
    assert value(metrics, "gepetto_idle_gpu_seconds_total", cause="locked") == 10
    assert value(metrics, "gepetto_idle_gpu_seconds_total", cause="open") == 40
    assert value(metrics, "gepetto_forfeited_copies_total") == 1


def test_every_server_shows_income_cost_and_gpus_and_one_that_has_gone_shows_nothing() -> None:
    metrics = Metrics()
    row = make_deployment("d", SERVER, CHUTE, 0x10)
    server = replace(SERVER, hourly_cost=12.0, free_mask=0xEF)
    metrics.saw(replace(WORLD, servers=(server,), deployments=(row,)))
    assert value(metrics, "gepetto_server_income_rate", server=SERVER.name) == row.multiplier
    assert value(metrics, "gepetto_server_cost_usd_per_hour", server=SERVER.name) == 12
    uses = [value(metrics, "gepetto_server_gpus", server=SERVER.name, use=use) for use in ("free", "taken")]
    assert uses == [7, 1]
    metrics.saw(replace(WORLD, servers=(), deployments=()))
    assert metrics.registry.get_sample_value("gepetto_server_gpus", {"server": SERVER.name, "use": "free"}) is None

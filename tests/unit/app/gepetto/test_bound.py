"""The bound of simulated income: what it counts, what it leaves out, and that nobody passes it (spec: gepetto 25.4)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from app.gepetto.decision.configuration import Configuration
from app.gepetto.simulator.bound import hourly_bounds, share_of_bound
from app.gepetto.simulator.compare import run_one
from app.gepetto.simulator.engine import Simulation
from app.gepetto.simulator.result import HourRoom, Result
from app.gepetto.simulator.room import win_chances
from app.gepetto.simulator.scenario import ChuteModel, Preset, Scenario, ServerModel, build


def chute(number: int, gpus: int, *, base: float = 1.0, public: bool = True) -> ChuteModel:
    return ChuteModel(
        id=f"c{number}", gpu_count=gpus, gpu_types=("pro_6000",), public=public, base=base, mean_load=1.0, swing=0.0,
        phase=0.0, revenue_boost=0.0, bounties_per_hour=0.0, busy_hours=1.0, start_seconds=360.0, model_gb=1.0,
    )  # fmt: skip


def scenario(*chutes: ChuteModel, gpus: tuple[int, ...] = (8,)) -> Scenario:
    servers = tuple(ServerModel(f"s{i}", "pro_6000", count, 1.0, 0.0) for i, count in enumerate(gpus))
    return Scenario(Preset.MIXED, 1, 3600.0, servers, chutes)


def room(world: Scenario, copies: list[float], rates: list[float], there: float = 1.0) -> HourRoom:
    return HourRoom(
        np.asarray(copies) * 30, np.asarray(rates), np.ones(len(rates)), np.full(len(world.servers), 30 * there),
        np.full(len(rates), 360.0), 30,
    )  # fmt: skip


def bound(world: Scenario, *rooms: HourRoom) -> list[float]:
    result = Result("made up", "mixed", 1)
    result.room.extend(rooms)
    return hourly_bounds(world, result)


def test_the_best_copies_fill_the_gpus_and_no_more_than_there_was_room_for() -> None:
    world = scenario(chute(0, 1), chute(1, 2))
    assert bound(world, room(world, [5, 9], [1.0, 1.5])) == pytest.approx([5 * 1.0 + 1.5 * 1.5])


def test_a_chute_of_eight_gpus_fits_on_no_server_of_two_and_servers_that_were_away_count_for_nothing() -> None:
    world = scenario(chute(0, 8), gpus=(8, 2, 6))
    assert bound(world, room(world, [3], [4.0])) == pytest.approx([4.0])
    assert bound(world, room(world, [3], [4.0], there=0.5)) == pytest.approx([2.0])


def test_a_private_copy_takes_its_start_and_shutdown_on_top_of_its_short_life() -> None:
    world = scenario(chute(0, 1, public=False), gpus=(1,))
    life = 600 + 3600 * np.exp(-600 / 3600)
    assert bound(world, room(world, [1], [1.0])) == pytest.approx([life / (life + 0.7 * 360 + 60)])


def test_a_copy_keeps_a_better_multiplier_until_it_has_drifted_away() -> None:
    world = scenario(chute(0, 1), gpus=(1,))
    found = bound(world, room(world, [1], [1.5]), *(room(world, [1], [1.0]) for _ in range(10)))
    assert found[:4] == pytest.approx([1.5] * 4)
    assert all(a > b for a, b in pairwise(found[4:9]))
    assert found[9:] == pytest.approx([1.0, 1.0])


def test_the_chance_of_a_bounty_falls_with_the_start_and_is_never_certain() -> None:
    simulation = Simulation(build(Preset.LIVE_LIKE, 1, gpus=16, chutes=40, hours=1), Configuration())
    chances = win_chances(np.asarray([60.0, 300.0, 600.0, 3000.0]), simulation.state)
    assert chances[0] == pytest.approx(0.95)  # active before the others look for the first time, if it does not fail
    assert all(a > b for a, b in pairwise(chances))
    assert chances[3] < 0.01


def test_lost_servers_are_no_supply() -> None:
    world = build(Preset.SERVER_LOSS, 1, gpus=24, chutes=60, hours=9)
    result = run_one(world, "shadow_price", Configuration())
    assert [hour for hour, room in enumerate(result.room[:9]) if (room.there < room.ticks).any()] == [3, 4, 5, 6, 7, 8]
    assert 0.3 < share_of_bound(world, result) < 1.0


def test_copies_on_servers_that_only_look_unhealthy_still_earn_within_the_bound() -> None:
    world = build(Preset.AGENT_FLAP, 1, gpus=24, chutes=60, hours=9)
    result = run_one(world, "shadow_price", Configuration())
    bounds = hourly_bounds(world, result)
    assert all(income <= most for income, most in zip(result.hourly, bounds, strict=False))

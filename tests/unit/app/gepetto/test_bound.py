"""The bound of simulated income: what it counts, what it leaves out, and that nobody passes it (spec: gepetto 25.4)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from app.gepetto.decision.configuration import Configuration
from app.gepetto.simulator.bound import hourly_bounds, share_of_bound
from app.gepetto.simulator.compare import run_one
from app.gepetto.simulator.result import HourRoom, Result
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


def test_a_private_copy_takes_the_starts_that_winning_it_needs_on_top_of_its_short_life() -> None:
    world = scenario(chute(0, 1, public=False), gpus=(1,))
    kept = np.exp(-120 / 420)
    lengths = 360 * (0.7 + 0.6 * (np.arange(25) + 0.5) / 25)
    wins = 0.95 * np.mean(kept ** np.floor(lengths / 120))
    spent = np.mean([sum(kept ** (second // 120) for second in range(round(length))) for length in lengths])
    counted = 600 + 3600 * np.exp(-600 / 3600) + 420 + 120
    expected = (1 + 0.3 * 0.7 * (360 + 120) / 3600) / (1 + (spent + 60) / wins / counted)
    assert bound(world, room(world, [1], [1.0])) == pytest.approx([expected], rel=0.002)


def test_a_copy_keeps_a_better_multiplier_until_it_has_drifted_away() -> None:
    world = scenario(chute(0, 1), gpus=(1,))
    found = bound(world, room(world, [1], [1.5]), *(room(world, [1], [1.0]) for _ in range(10)))
    assert found[:4] == pytest.approx([1.5] * 4)
    assert all(a > b for a, b in pairwise(found[4:9]))
    assert found[9:] == pytest.approx([1.0, 1.0])


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


PRESETS = (Preset.LIVE_LIKE, Preset.MIXED, Preset.LARGE_HEAVY)
OTHERS = ("greedy_multiplier", "matching")


@pytest.mark.parametrize("preset", PRESETS)
def test_what_the_default_found_room_for_is_more_than_any_other_strategy_earned(preset: Preset) -> None:
    """The room is that of one run, and other decisions leave other room: on average it must hold for them too."""
    shares: dict[str, list[float]] = {name: [] for name in OTHERS}
    for seed in (41, 42):
        world = build(preset, seed, gpus=16, hours=8)
        bounds = hourly_bounds(world, run_one(world, "shadow_price", Configuration()))
        for name in OTHERS:
            income = run_one(world, name, Configuration()).hourly
            hours = min(len(income), len(bounds))
            shares[name].append(sum(income[:hours]) / sum(bounds[:hours]))
    assert max(np.mean(values) for values in shares.values()) < 1.0


def test_a_fleet_with_gpus_for_every_bounty_comes_close_to_the_bound_and_not_above_it() -> None:
    """Nothing but private chutes, and GPUs to spare: every bounty is tried at once, and no policy could do better."""
    shares = []
    servers = tuple(ServerModel(f"s{i:04}", "pro_6000", 1, 1.0, 0.0) for i in range(32))
    for seed in range(6):
        world = build(Preset.LIVE_LIKE, seed, gpus=32, chutes=24, hours=12)
        chutes = tuple(
            replace(one, public=False, gpu_types=("pro_6000",), gpu_count=1, bounties_per_hour=0.2, base=1.0)
            for one in world.chutes
        )
        world = replace(world, chutes=chutes, servers=servers)
        shares.append(share_of_bound(world, run_one(world, "shadow_price", Configuration())))
    assert 0.75 < float(np.mean(shares)) < 1.0, shares

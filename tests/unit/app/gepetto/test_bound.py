"""The bound of simulated income: what it counts, what it leaves out, and that nobody passes it (spec: gepetto 25.4)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.gepetto.decision.configuration import Configuration, SafetyConfiguration
from app.gepetto.simulator.bound import income_bound, share_of_bound
from app.gepetto.simulator.compare import run_one
from app.gepetto.simulator.offers import offer
from app.gepetto.simulator.result import Bounty, HourRoom, Result
from app.gepetto.simulator.scenario import HOUR, ChuteModel, Preset, Scenario, ServerModel, build

NO_ENDINGS = SafetyConfiguration(destructive_minimum=0, destructive_share=0.0)


def chute(number: int, gpus: int, *, base: float = 1.0, public: bool = True) -> ChuteModel:
    return ChuteModel(
        id=f"c{number}", gpu_count=gpus, gpu_types=("pro_6000",), public=public, base=base, mean_load=1.0, swing=0.0,
        phase=0.0, revenue_boost=0.0, bounties_per_hour=0.0, busy_hours=1.0, start_seconds=360.0, model_gb=1.0,
    )  # fmt: skip


def scenario(*chutes: ChuteModel, gpus: tuple[int, ...] = (8,)) -> Scenario:
    servers = tuple(ServerModel(f"s{i}", "pro_6000", count, 1.0, 0.0) for i, count in enumerate(gpus))
    return Scenario(Preset.MIXED, 1, 3600.0, servers, chutes)


def room(world: Scenario, copies: list[float], rates: list[float], there: float = 1.0, opened: float = 0.0) -> HourRoom:
    return HourRoom(
        np.asarray(copies) * 30, np.asarray(rates), np.ones(len(rates)), np.full(len(world.servers), 30 * there),
        np.full(len(rates), 360.0), opened, 0.0, 30,
    )  # fmt: skip


def bound(
    world: Scenario, *rooms: HourRoom, bounties: tuple[Bounty, ...] = (), safety: SafetyConfiguration = NO_ENDINGS,
    skip_hours: int = 0,
) -> float:  # fmt: skip
    result = Result("made up", "mixed", 1, hourly=[0.0] * len(rooms))
    result.room.extend(rooms)
    result.bounties.extend(bounties)
    return income_bound(world, result, safety, skip_hours=skip_hours)


def test_the_best_copies_fill_the_gpus_and_no_more_than_there_was_room_for() -> None:
    world = scenario(chute(0, 1), chute(1, 2))
    assert bound(world, room(world, [5, 9], [1.0, 1.5])) == pytest.approx(5 * 1.0 + 1.5 * 1.5)


def test_hours_that_are_skipped_are_worth_nothing() -> None:
    world = scenario(chute(0, 1), gpus=(1,))
    hours = [room(world, [1], [1.0]) for _ in range(5)]
    assert bound(world, *hours) == pytest.approx(5.0)
    assert bound(world, *hours, skip_hours=3) == pytest.approx(2.0)


def test_a_chute_of_eight_gpus_fits_on_no_server_of_two_and_servers_that_were_away_count_for_nothing() -> None:
    world = scenario(chute(0, 8), gpus=(8, 2, 6))
    assert bound(world, room(world, [3], [4.0])) == pytest.approx(4.0)
    assert bound(world, room(world, [3], [4.0], there=0.5)) == pytest.approx(2.0)


def test_a_racer_takes_an_open_place_two_starts_and_leaves_with_the_next_full_run() -> None:
    """A full run comes every 1,200 s; two starts of 360 s are paid a little, and a place stood open for 252 s."""
    world = scenario(chute(0, 1))
    gain = 1200 + 2 * 0.3 * 0.7 * 360 - 0.7 * 360
    assert bound(world, room(world, [2], [1.0])) == pytest.approx(2.0)
    one = bound(world, room(world, [2], [1.0], opened=1.0))
    assert one == pytest.approx(2.0 + gain / HOUR)
    many = bound(world, room(world, [2], [1.0], opened=50.0))
    assert many == pytest.approx(2.0 + 3 * gain / HOUR)  # one racer at a time, three full runs an hour
    ended = bound(world, room(world, [2], [1.0]), safety=SafetyConfiguration(destructive_share=0.0))
    assert ended == pytest.approx(many)  # one ending in ten minutes opens places too
    before = bound(world, room(world, [2], [1.0], opened=1.0), room(world, [2], [1.0]), skip_hours=1)
    assert before == pytest.approx(one)  # it may begin at the end of the hour in which the place became open
    assert bound(scenario(chute(0, 1), gpus=(2,)), room(world, [2], [1.0], opened=1.0)) < one  # it needs GPUs


def test_a_start_as_long_as_the_time_between_full_runs_is_counted_too() -> None:
    world = scenario(chute(0, 1))
    slow = replace(room(world, [2], [1.0], opened=1.0), start_seconds=np.asarray([1200.0]))
    assert bound(world, slow) > 2.0


def test_a_run_below_one_hour_has_no_bound_and_reaches_it() -> None:
    world = build(Preset.LIVE_LIKE, 1, gpus=8, chutes=16, hours=0.5)
    result = run_one(world, "shadow_price", Configuration())
    assert income_bound(world, result) == 0.0
    assert share_of_bound(world, result) == 1.0


def test_a_bounty_is_worth_its_best_start_where_a_gpu_stands_ready() -> None:
    world = scenario(chute(0, 1, public=False))
    hours = [room(world, [0], [1.0]) for _ in range(6)]
    bounty = Bounty(0, HOUR, 300.0)
    best = offer(bounty, world.chutes[0], world.market, 6)
    assert bound(world, *hours, bounties=(bounty,)) == pytest.approx(best.income.sum() + best.warm_up_income)


def test_a_bounty_on_a_full_server_is_worth_the_start_that_a_shutdown_delays() -> None:
    """A public copy would fill the server, so a bounty costs what that copy earns; some idle time makes ready."""
    world = scenario(chute(0, 1, base=3.0, public=False), chute(1, 1), gpus=(1,))
    hours = [room(world, [0, 1], [1.0, 1.0]) for _ in range(6)]
    bounty = Bounty(0, HOUR, 300.0)
    found = bound(world, *hours, bounties=(bounty,)) - 6
    worth = []
    for late_seconds in (0.0, 60.0):
        one = offer(bounty, world.chutes[0], world.market, 6, late_seconds)
        used = one.copy_hours.sum() + one.start_hours + one.shutdown_hours
        worth.append(one.income.sum() + one.warm_up_income - used)
    assert worth[1] < found < worth[0]


def test_a_private_copy_cannot_be_left_for_the_hours_in_which_others_pay_more() -> None:
    """Its life is one decision: where its later hours cost more than all of it is worth, it is worth nothing."""
    world = scenario(chute(0, 1, public=False), chute(1, 1), gpus=(1,))
    hours = [room(world, [0, 1], [1.0, 0.0]), *(room(world, [0, 1], [1.0, 50.0]) for _ in range(5))]
    assert bound(world, *hours, bounties=(Bounty(0, 0.0, 300.0),)) == pytest.approx(5 * 50.0)


def test_a_copy_keeps_a_better_multiplier_until_it_has_drifted_away() -> None:
    world = scenario(chute(0, 1), gpus=(1,))
    hours = [room(world, [1], [1.5]), *(room(world, [1], [1.0]) for _ in range(10))]
    totals = [bound(world, *hours, skip_hours=first) for first in range(11)]
    found = [a - b for a, b in zip(totals, [*totals[1:], 0.0], strict=True)]
    assert found[:4] == pytest.approx([1.5] * 4)
    assert all(found[hour] > found[hour + 1] for hour in range(4, 8))
    assert found[9:] == pytest.approx([1.0, 1.0])


def test_lost_servers_are_no_supply() -> None:
    world = build(Preset.SERVER_LOSS, 1, gpus=24, chutes=60, hours=9)
    result = run_one(world, "shadow_price", Configuration())
    assert [hour for hour, room in enumerate(result.room[:9]) if (room.there < room.ticks).any()] == [3, 4, 5, 6, 7, 8]
    assert 0.3 < share_of_bound(world, result) < 1.0


def test_copies_on_servers_that_only_look_unhealthy_still_earn_within_the_bound() -> None:
    world = build(Preset.AGENT_FLAP, 1, gpus=24, chutes=60, hours=9)
    result = run_one(world, "shadow_price", Configuration())
    assert 0.3 < share_of_bound(world, result) < 1.0


PRESETS = (Preset.LIVE_LIKE, Preset.MIXED, Preset.LARGE_HEAVY)
OTHERS = ("greedy_multiplier", "matching")


@pytest.mark.parametrize("preset", PRESETS)
def test_what_the_default_found_room_for_is_more_than_any_other_strategy_earned(preset: Preset) -> None:
    """The room is that of one run, and other decisions leave other room: on average it must hold for them too."""
    shares: dict[str, list[float]] = {name: [] for name in OTHERS}
    for seed in (41, 42):
        world = build(preset, seed, gpus=32, hours=12)
        most = income_bound(world, run_one(world, "shadow_price", Configuration()))
        for name in OTHERS:
            shares[name].append(sum(run_one(world, name, Configuration()).hourly) / most)
    assert max(np.mean(values) for values in shares.values()) < 1.0


@pytest.mark.parametrize(("servers", "bounties_per_hour"), [(96, 0.2), (12, 0.2), (8, 1.0)])
def test_a_fleet_for_bounties_alone_comes_close_to_the_bound_and_not_above_it(
    servers: int, bounties_per_hour: float
) -> None:
    """Every GPU is for bounties: with GPUs to spare, with few, and with few where bounties wait for a GPU."""
    income, most = 0.0, 0.0
    fleet = tuple(ServerModel(f"s{i:04}", "pro_6000", 1, 1.0, 0.0) for i in range(servers))
    for seed in range(4):
        world = build(Preset.LIVE_LIKE, seed, gpus=32, chutes=96, hours=12)
        chutes = tuple(
            replace(
                one, public=False, gpu_types=("pro_6000",), gpu_count=1, bounties_per_hour=bounties_per_hour, base=1.0
            )
            for one in world.chutes
        )
        world = replace(world, chutes=chutes, servers=fleet)
        result = run_one(world, "shadow_price", Configuration())
        income, most = income + sum(result.hourly[:12]), most + income_bound(world, result)
    assert 0.75 < income / most < 1.0

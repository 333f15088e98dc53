"""What nobody could beat who cannot foresee: a linear program over the room of a run (spec: gepetto 25.4).

Other miners' copies, the validator's targets, the births of bounties and where models lay are those of the run; for a
bounty one copy is started at a time, as the validator's allowance has it. Relaxed: copies may be fractional and never
fail, public ones move from hour to hour at no cost and start in no time. So the true optimum is lower. What it does
count: GPUs in whole servers, servers that are away, multipliers that copies keep from earlier hours, what a racer
beyond the target takes, and what a bounty takes and is worth on average. docs/adr/0087 has the reasons for these two.
"""

from __future__ import annotations

from app.gepetto.decision.configuration import SafetyConfiguration
from app.gepetto.simulator.linear import Program
from app.gepetto.simulator.private_copies import add_private_copies
from app.gepetto.simulator.public_copies import add_public_copies
from app.gepetto.simulator.result import Result
from app.gepetto.simulator.scenario import HOUR, Scenario
from app.gepetto.simulator.supply import Supply


def income_bound(
    scenario: Scenario, result: Result, safety: SafetyConfiguration | None = None, *, skip_hours: int = 0
) -> float:
    """Upper bound of a run's income after the first `skip_hours`, in multiplier-hours, by expectation.

    Args:
        scenario: fleet, chutes, market.
        result: the run whose room is filled.
        safety: how many copies may be ended.
        skip_hours: hours whose income does not count.
    """
    rooms = result.room[: len(result.hourly)]
    program = Program()
    limits = safety or SafetyConfiguration()
    windows = HOUR / limits.destructive_window_seconds
    supply = Supply(program, scenario, rooms, windows * limits.most_endings(scenario.gpus))
    add_public_copies(program, supply, skip_hours)
    bounties = [bounty for bounty in result.bounties if bounty.born_at < len(rooms) * HOUR]
    add_private_copies(program, supply, bounties, skip_hours)
    return program.maximum()


def share_of_bound(
    scenario: Scenario, result: Result, safety: SafetyConfiguration | None = None, *, skip_hours: int = 0
) -> float:
    """Income as a share of the bound, without the first hours (steady state)."""
    bound = income_bound(scenario, result, safety, skip_hours=skip_hours)
    return sum(result.hourly[skip_hours : len(result.room)]) / bound if bound else 1.0

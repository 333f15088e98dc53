"""`decide(snapshot, configuration, memory)`: the one function that production and simulator share. Pure (spec: 24)."""

from __future__ import annotations

from dataclasses import replace

from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.experience import learn
from app.gepetto.decision.intents import Intent, NoOp
from app.gepetto.decision.memory import Memory
from app.gepetto.decision.reconcile import reconcile
from app.gepetto.decision.virtual import VirtualFleet
from app.gepetto.decision.warmup import plan_warmups
from app.gepetto.strategies import Context, Strategy, built_in
from app.gepetto.world.columns import build_columns
from app.gepetto.world.snapshot import Snapshot, SourceName

#: Without these a launch would be a guess.
NEEDED_SOURCES = (SourceName.CHUTES, SourceName.UTILIZATION, SourceName.INSTANCES, SourceName.DATABASE)


def stale_sources(snapshot: Snapshot, configuration: Configuration) -> tuple[str, ...]:
    """Names of needed sources that are incomplete or too old for new launches."""
    limit = configuration.safety.fresh_seconds
    return tuple(name.value for name in NEEDED_SOURCES if not snapshot.source(name).is_fresh(snapshot.now, limit))


def decide(
    snapshot: Snapshot, configuration: Configuration, memory: Memory, strategy: Strategy | None = None
) -> tuple[tuple[Intent, ...], Memory]:
    """Everything to be done now, in order, and what to remember. Equal arguments give equal results.

    Args:
        snapshot: the world at one moment.
        configuration: the operator's numbers; it names the strategy unless one is passed.
        memory: what the last call returned; an empty one is always right, only slower.
        strategy: an operator's own strategy.
    """
    columns = build_columns(snapshot, memory.columns)
    experience = learn(snapshot, memory.experience)
    intents, sightings = reconcile(snapshot, configuration, memory)
    stale = stale_sources(snapshot, configuration)
    if stale:
        intents.append(NoOp(f"stale sources: {', '.join(stale)}"))
        return tuple(intents), replace(memory, columns=columns, sightings=sightings, experience=experience)
    fleet = VirtualFleet(snapshot, columns, configuration, experience)
    context = Context(snapshot, configuration, columns, fleet, dict(memory.notes))
    intents += (strategy or built_in(configuration.strategy)).plan(context)
    warmed_at = memory.warmed_at
    interval = configuration.warm_up.interval_seconds
    if configuration.warm_up.enabled and snapshot.now - warmed_at >= interval:
        budget = configuration.warm_up.gigabytes_per_hour * min(snapshot.now - warmed_at, 3600.0) / 3600
        planned = plan_warmups(fleet, budget)
        intents += planned
        warmed_at = snapshot.now if planned or not warmed_at else warmed_at
    return tuple(intents), Memory(columns, sightings, context.notes, warmed_at, experience)

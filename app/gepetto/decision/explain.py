"""Why a chute is, or is not, being launched (spec: gepetto 24.5). Reads the very rules that the decision uses. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.decide import stale_sources
from app.gepetto.decision.eligibility import chute_obstacles, server_obstacles
from app.gepetto.decision.intents import Intent, Launch, Swap
from app.gepetto.decision.memory import Memory
from app.gepetto.decision.virtual import VirtualFleet
from app.gepetto.world.columns import build_columns, room_of
from app.gepetto.world.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Explanation:
    """An answer to `why CHUTE`. Rates are expected income per GPU-hour in multiplier units."""

    chute_id: str
    name: str
    verdict: str
    chute_obstacles: tuple[str, ...]
    server_obstacles: dict[str, tuple[str, ...]]
    obstacle_counts: dict[str, int]
    room: int
    rate: float
    rank: int
    prices: dict[str, float]
    copies: dict[str, int]
    stale_sources: tuple[str, ...]


def explain(
    snapshot: Snapshot,
    configuration: Configuration,
    memory: Memory,
    chute_id: str,
    last_intents: tuple[Intent, ...] = (),
) -> Explanation | None:
    """Everything that speaks for and against one more copy now; None for a chute that nobody lists."""
    columns = build_columns(snapshot, memory.columns)
    position = columns.chute_index.get(chute_id)
    if position is None:
        return None
    chute = snapshot.chutes[position]
    fleet = VirtualFleet(snapshot, columns, configuration, memory.experience)
    own = chute_obstacles(chute, snapshot.now, configuration)
    servers = {server.name: server_obstacles(snapshot, chute, server, configuration) for server in snapshot.servers}
    stale = stale_sources(snapshot, configuration)
    prices = memory.notes.get("prices")
    counts = Counter(reason.value for reasons in servers.values() for reason in reasons)
    states = Counter(row.state.value for row in snapshot.deployments if row.chute_id == chute_id)
    return Explanation(
        chute_id=chute_id,
        name=chute.name,
        verdict=_verdict(chute_id, tuple(r.value for r in own), servers, stale, last_intents),
        chute_obstacles=tuple(reason.value for reason in own),
        server_obstacles={name: tuple(reason.value for reason in reasons) for name, reasons in servers.items()},
        obstacle_counts=dict(counts.most_common()),
        room=room_of(chute),
        rate=float(fleet.rates[position]),
        rank=1 + int(((fleet.rates > fleet.rates[position]) & (fleet.rooms > 0)).sum()),
        prices={k: float(v) for k, v in prices.items() if isinstance(v, float)} if isinstance(prices, dict) else {},
        copies=dict(states),
        stale_sources=stale,
    )


def _verdict(
    chute_id: str,
    own: tuple[str, ...],
    servers: Mapping[str, tuple[str, ...]],
    stale: tuple[str, ...],
    last_intents: tuple[Intent, ...],
) -> str:
    for intent in last_intents:
        launch = intent.launch if isinstance(intent, Swap) else intent
        if isinstance(launch, Launch) and launch.chute_id == chute_id:
            return f"being launched on {launch.server_id} ({launch.reason})"
    if stale:
        return f"nothing is launched while sources are stale: {', '.join(stale)}"
    if own:
        return f"no launch: {own[0]}"
    if not any(not reasons for reasons in servers.values()):
        return "no launch: no server can hold it now"
    return "may be launched at the next decision, in its rank"

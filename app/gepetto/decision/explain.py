"""Why a chute is, or is not, being launched (spec: gepetto 24.5). Reads the very rules that the decision uses. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

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


class Explainer:
    """Explanations of one snapshot: what all of them share is worked out once."""

    def __init__(
        self,
        snapshot: Snapshot,
        configuration: Configuration,
        memory: Memory,
        last_intents: tuple[Intent, ...] = (),
    ) -> None:
        self._snapshot, self._configuration, self._intents = snapshot, configuration, last_intents
        self._columns = build_columns(snapshot, memory.columns)
        self._fleet = VirtualFleet(snapshot, self._columns, configuration, memory.experience)
        self._stale = stale_sources(snapshot, configuration)
        prices = memory.notes.get("prices")
        known = prices.items() if isinstance(prices, dict) else ()
        self._prices = {name: float(price) for name, price in known if isinstance(price, float)}
        self._copies: dict[str, Counter[str]] = {}
        for row in snapshot.deployments:
            self._copies.setdefault(row.chute_id, Counter())[row.state.value] += 1

    def ranked(self) -> tuple[str, ...]:
        """Ids of all chutes: those with copies here first, then by what one more copy would earn."""
        order = np.argsort(-self._fleet.rates, kind="stable")
        ids = [self._snapshot.chutes[int(position)].id for position in order]
        return tuple(sorted(ids, key=lambda chute_id: chute_id not in self._copies))

    def of(self, chute_id: str) -> Explanation | None:
        """Everything that speaks for and against one more copy now; None for a chute that nobody lists."""
        position = self._columns.chute_index.get(chute_id)
        if position is None:
            return None
        snapshot, configuration, fleet = self._snapshot, self._configuration, self._fleet
        chute = snapshot.chutes[position]
        own = tuple(reason.value for reason in chute_obstacles(chute, snapshot.now, configuration))
        servers = {
            server.name: tuple(reason.value for reason in server_obstacles(snapshot, chute, server, configuration))
            for server in snapshot.servers
        }
        counts = Counter(reason for reasons in servers.values() for reason in reasons)
        return Explanation(
            chute_id=chute_id,
            name=chute.name,
            verdict=_verdict(chute_id, own, servers, self._stale, self._intents),
            chute_obstacles=own,
            server_obstacles=servers,
            obstacle_counts=dict(counts.most_common()),
            room=room_of(chute),
            rate=float(fleet.rates[position]),
            rank=1 + int(((fleet.rates > fleet.rates[position]) & (fleet.rooms > 0)).sum()),
            prices=self._prices,
            copies=dict(self._copies.get(chute_id, Counter())),
            stale_sources=self._stale,
        )


def explain(
    snapshot: Snapshot,
    configuration: Configuration,
    memory: Memory,
    chute_id: str,
    last_intents: tuple[Intent, ...] = (),
) -> Explanation | None:
    """Everything that speaks for and against one more copy now; None for a chute that nobody lists."""
    return Explainer(snapshot, configuration, memory, last_intents).of(chute_id)


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

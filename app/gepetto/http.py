"""Gepetto's own small HTTP surface: health, metrics, /explain, last decision (spec: gepetto 24.5). Reads only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from fastapi import FastAPI, HTTPException, Response
from prometheus_client import generate_latest

from app.gepetto.decision.explain import explain
from app.gepetto.decision.memory import Memory
from app.gepetto.files.wire import dump_snapshot
from app.gepetto.service import Gepetto
from app.gepetto.world.snapshot import Snapshot

STALE_SECONDS = 120.0


@dataclass(frozen=True)
class Surface:
    """The routes of one process.

    Args:
        gepetto: what they show.
        is_leader: whether this process acts.
        acts_alone: a complete public file decides in our place, and makes no decision that could be seen here.
    """

    gepetto: Gepetto
    is_leader: Callable[[], bool]
    acts_alone: bool = False

    def _seen(self) -> Snapshot:
        if self.gepetto.last_snapshot is None:
            raise HTTPException(503, "no decision yet: a standby or a fresh start")
        return self.gepetto.last_snapshot

    async def ping(self) -> str:
        """Alive."""
        return "pong"

    async def ready(self) -> dict[str, object]:
        """503 while a leader has made no decision lately."""
        snapshot = self.gepetto.last_snapshot
        age = None if snapshot is None else self.gepetto.clock() - snapshot.now
        if self.is_leader() and not self.acts_alone and (age is None or age > STALE_SECONDS):
            raise HTTPException(503, f"no decision yet or lately (age: {age} s)")
        return {"leader": self.is_leader(), "decision_age_seconds": age, "decider": self.gepetto.decider.name}

    async def metrics(self) -> Response:
        """Prometheus text."""
        text = generate_latest(self.gepetto.metrics.registry)
        return Response(text, media_type="text/plain; version=0.0.4")

    async def explain(self, chute: str) -> dict[str, object]:
        """Why a chute is, or is not, being launched; by id or name."""
        snapshot = self._seen()
        chute_id = next((item.id for item in snapshot.chutes if chute in (item.id, item.name)), chute)
        found = explain(snapshot, self.gepetto.configuration, Memory(), chute_id, self.gepetto.last_intents)
        if found is None:
            raise HTTPException(404, f"no validator lists a chute {chute!r}")
        return asdict(found)

    async def snapshot(self) -> Response:
        """The last snapshot as JSON, for `gepetto diff`, `gepetto shadow` and replays."""
        return Response(dump_snapshot(self._seen()), media_type="application/json")

    async def decision(self) -> dict[str, object]:
        """The last decision: what was let through, and what the gate held back."""
        snapshot, gepetto = self.gepetto.last_snapshot, self.gepetto
        return {
            "at": None if snapshot is None else snapshot.now,
            "intents": [intent.key for intent in gepetto.last_intents],
            "refused": [{"intent": item.intent.key, "reason": item.reason} for item in gepetto.last_refused],
        }


def create_app(surface: Surface) -> FastAPI:
    """The app of one process. A standby is healthy, and explains nothing because it sees nothing."""
    app = FastAPI(title="Gepetto", docs_url=None, redoc_url=None)
    for route in (surface.ping, surface.ready, surface.metrics, surface.explain, surface.snapshot, surface.decision):
        app.get(f"/{route.__name__}")(route)
    return app

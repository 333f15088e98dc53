"""Gepetto's own small HTTP surface: health, metrics, /explain, last decision (spec: gepetto 24.5). Reads only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from fastapi import FastAPI, HTTPException, Response
from prometheus_client import generate_latest

from app.gepetto.decision.explain import explain
from app.gepetto.decision.memory import Memory
from app.gepetto.files.wire import dump_snapshot
from app.gepetto.service import Gepetto

STALE_SECONDS = 120.0


def create_app(gepetto: Gepetto, is_leader: Callable[[], bool], *, acts_alone: bool = False) -> FastAPI:
    """The app of one process. A standby is healthy, and explains nothing because it sees nothing.

    Args:
        gepetto: what it shows.
        is_leader: whether this process acts.
        acts_alone: a complete public file decides in our place, and makes no decision that could be seen here.
    """
    app = FastAPI(title="Gepetto", docs_url=None, redoc_url=None)

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    @app.get("/ready")
    async def ready() -> dict[str, object]:
        """503 while a leader has made no decision lately."""
        snapshot = gepetto.last_snapshot
        age = None if snapshot is None else gepetto.clock() - snapshot.now
        if is_leader() and not acts_alone and (age is None or age > STALE_SECONDS):
            raise HTTPException(503, f"no decision yet or lately (age: {age} s)")
        return {"leader": is_leader(), "decision_age_seconds": age, "decider": gepetto.decider.name}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(gepetto.metrics.registry), media_type="text/plain; version=0.0.4")

    @app.get("/explain")
    async def why(chute: str) -> dict[str, object]:
        """Why a chute is, or is not, being launched; by id or name."""
        snapshot = gepetto.last_snapshot
        if snapshot is None:
            raise HTTPException(503, "no decision yet: a standby or a fresh start")
        chute_id = next((item.id for item in snapshot.chutes if chute in (item.id, item.name)), chute)
        found = explain(snapshot, gepetto.configuration, Memory(), chute_id, gepetto.last_intents)
        if found is None:
            raise HTTPException(404, f"no validator lists a chute {chute!r}")
        return asdict(found)

    @app.get("/snapshot")
    async def snapshot() -> Response:
        """The last snapshot as JSON, for `gepetto diff` and replays."""
        if gepetto.last_snapshot is None:
            raise HTTPException(503, "no decision yet: a standby or a fresh start")
        return Response(dump_snapshot(gepetto.last_snapshot), media_type="application/json")

    @app.get("/decision")
    async def decision() -> dict[str, object]:
        """The last decision: what was let through, and what the gate held back."""
        return {
            "at": None if gepetto.last_snapshot is None else gepetto.last_snapshot.now,
            "intents": [intent.key for intent in gepetto.last_intents],
            "refused": [{"intent": item.intent.key, "reason": item.reason} for item in gepetto.last_refused],
        }

    return app

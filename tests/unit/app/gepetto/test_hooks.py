"""Hooks of a strategy that operators override one by one (spec: gepetto 24.2). These classes stand for their files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from app.compat.strategy import Context, DefaultStrategy, Strategy
from app.gepetto.decision.configuration import Configuration, WarmUpConfiguration
from app.gepetto.decision.decide import decide
from app.gepetto.decision.intents import Launch, Swap
from app.gepetto.decision.memory import Memory
from app.gepetto.world.snapshot import Snapshot
from app.gepetto.world.views import ChuteView, JobView, ServerView
from tests.support.gepetto import NOW, make_chute, make_deployment, make_server, make_snapshot

QUIET = Configuration(warm_up=WarmUpConfiguration(enabled=False))
WORLD = make_snapshot((make_server(0), make_server(1, hourly_cost=5.0)), (make_chute(0), make_chute(1)))


def launches(strategy: Strategy, world: Snapshot = WORLD, configuration: Configuration = QUIET) -> list[Launch]:
    intents, _ = decide(world, configuration, Memory(), strategy)
    return [intent for intent in intents if isinstance(intent, Launch)]


def test_a_score_decides_which_chutes_run_and_where() -> None:
    class Picky(DefaultStrategy):
        def score(self, ctx: Context, chute: ChuteView, server: ServerView) -> float | None:
            return server.hourly_cost if chute.id == "chute-001" else None

    found = launches(Picky())
    assert {launch.chute_id for launch in found} == {"chute-001"}
    assert {launch.server_id for launch in found} == {"server-001"}


def test_a_score_that_calls_the_base_keeps_its_choice_of_server() -> None:
    class Weighted(DefaultStrategy):
        def score(self, ctx: Context, chute: ChuteView, server: ServerView) -> float | None:
            base = super().score(ctx, chute, server)
            return None if base is None else 1.2 * base

    assert [launch.server_id for launch in launches(Weighted())] == [
        launch.server_id for launch in launches(DefaultStrategy())
    ]


def test_chutes_are_served_in_the_order_of_the_hook_and_unknown_ids_are_skipped() -> None:
    class Reversed(DefaultStrategy):
        def rank_chutes(self, ctx: Context) -> Iterable[str]:
            return ["unknown", "chute-001", "chute-000"]

    assert launches(Reversed())[0].chute_id == "chute-001"


def test_the_first_ranked_server_that_fits_is_taken() -> None:
    class Dear(DefaultStrategy):
        def rank_servers(self, ctx: Context, chute: ChuteView) -> Iterable[str]:
            return ["unknown", "server-001", "server-000"]

    full = replace(WORLD, servers=(make_server(0), make_server(1, free_mask=1)))
    assert [launch.server_id for launch in launches(Dear(), full)][:2] == ["server-001", "server-000"]


def test_gpus_may_be_chosen_and_a_wrong_mask_is_a_fault() -> None:
    class High(DefaultStrategy):
        def choose_gpus(self, ctx: Context, chute: ChuteView, server: ServerView) -> int:
            mask = ctx.fleet.masks[ctx.columns.server_index[server.id]]
            return 1 << (mask.bit_length() - 1)

    class Wrong(DefaultStrategy):
        def choose_gpus(self, ctx: Context, chute: ChuteView, server: ServerView) -> int:
            return 0b11

    assert launches(High())[0].gpu_mask == 0x80
    with pytest.raises(ValueError, match="choose_gpus gave mask 0x3"):
        launches(Wrong())


def test_bounties_new_chutes_and_jobs_may_be_declined() -> None:
    class Never(DefaultStrategy):
        def on_bounty(self, ctx: Context, chute: ChuteView) -> bool:
            return False

        def on_new_chute(self, ctx: Context, chute: ChuteView) -> bool:
            return False

        def on_job(self, ctx: Context, job: JobView) -> bool:
            return False

    job = JobView("job", "chute-000", 1, 1.0, NOW)
    world = replace(WORLD, chutes=(make_chute(0, bounty=True), make_chute(1)), jobs=(job,))
    assert launches(Never(), world) == []
    assert len(launches(DefaultStrategy(), world)) > 1


def test_victims_may_be_chosen_and_the_gate_still_judges() -> None:
    server, rich, poor = make_server(free_mask=0), make_chute(0, m_eff=9.0), make_chute(1, m_eff=0.1, global_active=9)
    row = make_deployment("d", server, poor, 0xFF, multiplier=0.1)
    asked: list[str] = []

    class Own(DefaultStrategy):
        def choose_victims(self, ctx: Context, chute: ChuteView) -> Swap | None:
            asked.append(chute.id)
            return super().choose_victims(ctx, chute)

    intents, _ = decide(make_snapshot((server,), (rich, poor), (row,)), QUIET, Memory(), Own())
    assert asked
    assert [intent.victims for intent in intents if isinstance(intent, Swap)] == [("d",)]


def test_a_strategy_may_keep_notes_and_draws_from_the_seed() -> None:
    class Counting(DefaultStrategy):
        def rank_chutes(self, ctx: Context) -> Iterable[str]:
            seen = ctx.notes.get("seen")
            ctx.notes["seen"] = (seen if isinstance(seen, int) else 0) + 1
            ctx.notes["draw"] = ctx.random().random()
            return super().rank_chutes(ctx)

    strategy, memory = Counting(), Memory()
    draws = []
    for _ in range(2):
        _, memory = decide(WORLD, QUIET, memory, strategy)
        draws.append(memory.notes["draw"])
    assert memory.notes["seen"] == 2
    assert draws[0] == draws[1]

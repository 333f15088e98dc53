"""The safety gate against plans that no good strategy makes: each is held back, with a reason (spec: gepetto 24.1)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.gepetto.decision.configuration import Configuration, SafetyConfiguration
from app.gepetto.decision.gate import Spent, pass_gate
from app.gepetto.decision.intents import (
    DrainServer,
    Evidence,
    ForgetInstance,
    Intent,
    Launch,
    RemoveOrphan,
    Swap,
    Terminate,
)
from app.gepetto.world.snapshot import Snapshot, SourceName
from app.gepetto.world.views import Source
from tests.support.gepetto import NOW, make_chute, make_deployment, make_server, make_snapshot

SERVER, OTHER = make_server(0, free_mask=0xF0), make_server(1)
RICH = make_chute(0, m_eff=3.0, gpu_count=2)
POOR = make_chute(1, m_eff=0.2, global_active=3)
ROWS = tuple(make_deployment(f"d{i}", SERVER, POOR, 1 << i) for i in range(4))
WORLD = make_snapshot((SERVER, OTHER), (RICH, POOR), ROWS)
HERE = Launch(RICH.id, "1", SERVER.id, 0b11)
NOTHING_SPENT = Spent()
LAST = "a victim is the last active copy of its chute in the network"
FORBIDDEN = "the chute may not run there: GPU model, TEE, lock or ban"


def reasons(*intents: Intent, world: Snapshot = WORLD, spent: Spent = NOTHING_SPENT, **safety: object) -> list[str]:
    """Why each intent is held back; nothing for one that is let through."""
    configuration = Configuration(safety=SafetyConfiguration.model_validate(safety))
    allowed, refused, _ = pass_gate(world, intents, configuration, spent)
    assert len(allowed) + len(refused) == len({intent.key for intent in intents})
    return [refusal.reason for refusal in refused]


@pytest.mark.parametrize(
    ("launch", "reason"),
    [
        (replace(HERE, server_id="nowhere"), "not in the snapshot"),
        (replace(HERE, chute_id="nothing"), "not in the snapshot"),
        (replace(HERE, gpu_mask=0b1), "1 GPUs were chosen, the chute needs 2"),
        (HERE, "a chosen GPU is not free"),
    ],
)
def test_a_launch_on_gpus_that_are_not_free_or_do_not_exist_is_held_back(launch: Launch, reason: str) -> None:
    (found,) = reasons(launch)
    assert reason in found


@pytest.mark.parametrize(
    "world",
    [
        replace(WORLD, servers=(replace(SERVER, locked=True), OTHER)),
        replace(WORLD, servers=(replace(SERVER, tee=False), OTHER)),
        replace(WORLD, servers=(replace(SERVER, gpu_type="l40s"), OTHER)),
        replace(WORLD, chutes=(replace(RICH, banned=True), POOR)),
    ],
    ids=["locked", "not confidential", "other model", "banned"],
)
def test_a_launch_where_the_chute_may_not_run_is_held_back(world: Snapshot) -> None:
    assert reasons(replace(HERE, gpu_mask=0x30)) == []
    assert reasons(replace(HERE, gpu_mask=0x30), world=world) == [
        "the chute may not run there: GPU model, TEE, lock or ban"
    ]


def test_two_launches_never_get_the_same_gpu() -> None:
    first, second = replace(HERE, gpu_mask=0x30), replace(HERE, chute_id=POOR.id, gpu_mask=0x10)
    assert reasons(first, second) == ["a chosen GPU is not free"]


@pytest.mark.parametrize(
    ("victims", "change", "reason"),
    [
        (("gone",), {}, "not in the snapshot"),
        ((), {}, "not in the snapshot"),
        (("d0", "d1"), {"activated_at": NOW - 1800}, "not yet paid"),
        (("d0", "d1"), {"job_id": "job"}, "is a job"),
        (("d0", "d1"), {"chute_id": RICH.id}, "same chute"),
        (("d0", "d1"), {"server_id": OTHER.id}, "another server"),
        (("d0", "d1"), {"multiplier": 1.5}, "earn as much as the new copy"),
    ],
)
def test_a_swap_that_breaks_a_hard_rule_is_held_back(
    victims: tuple[str, ...], change: dict[str, object], reason: str
) -> None:
    rows = tuple(replace(row, **change) for row in ROWS)  # type: ignore[arg-type]
    (found,) = reasons(Swap(victims, HERE), world=replace(WORLD, deployments=rows), destructive_minimum=9)
    assert reason in found


def test_a_swap_never_takes_the_last_active_copies_of_the_network_not_even_by_two_plans() -> None:
    two_left = replace(WORLD, chutes=(RICH, replace(POOR, global_active=2)))
    both = Swap(("d0", "d1"), HERE)
    assert reasons(both, destructive_minimum=9) == []
    assert reasons(both, world=two_left, destructive_minimum=9) == [LAST]
    third = replace(RICH, id="third")
    second = Swap(("d2", "d3"), replace(HERE, chute_id=third.id, gpu_mask=0b1100))
    world = replace(WORLD, chutes=(RICH, POOR, third))
    assert reasons(second, world=world, destructive_minimum=9) == []
    assert reasons(both, second, world=world, destructive_minimum=9) == [LAST]


def test_a_swap_needs_budget_and_a_fresh_list_of_active_instances() -> None:
    swap = Swap(("d0", "d1"), HERE)
    assert reasons(swap) == ["the destructive budget of this window is used up"]
    assert reasons(swap, approved_until=NOW + 1) == []
    old = {**WORLD.sources, SourceName.ACTIVE_INSTANCES.value: Source(NOW - 999, complete=True)}
    assert reasons(swap, world=replace(WORLD, sources=old), destructive_minimum=9) == [
        "the list of active instances is stale"
    ]


def test_an_ending_of_our_own_needs_a_row_that_is_no_job_and_is_paid_and_spare() -> None:
    own = Terminate("d0", Evidence.STRATEGY)
    assert reasons(own) == []
    assert reasons(Terminate("gone", Evidence.STRATEGY)) == ["no such deployment in the snapshot"]
    job = replace(WORLD, deployments=(replace(ROWS[0], job_id="job"),))
    assert reasons(own, world=job) == ["a job is never ended by us"]
    young = replace(WORLD, deployments=(replace(ROWS[0], activated_at=NOW - 1800),))
    assert reasons(own, world=young) == ["an active copy that is unpaid, or the last one in the network"]
    assert reasons(own, world=young, allow_unsafe=True) == []
    assert reasons(Terminate("d0", Evidence.OPERATOR), world=young) == []
    last = replace(WORLD, chutes=(RICH, replace(POOR, global_active=1)))
    assert reasons(own, world=last) == ["an active copy that is unpaid, or the last one in the network"]


def test_endings_beyond_the_budget_wait_and_ask_for_a_person() -> None:
    spent = Spent(copies=(NOW - 10,))
    own, orphan, foreign = (
        Terminate("d0", Evidence.STRATEGY), RemoveOrphan("pod", SERVER.id), ForgetInstance("instance", POOR.id),
    )  # fmt: skip
    held = "the destructive budget of this window is used up"
    assert reasons(own, orphan, foreign, spent=spent) == [held] * 3
    assert reasons(own, orphan, foreign, spent=Spent(copies=(NOW - 601,)), destructive_minimum=3) == []
    assert reasons(Terminate("d0", Evidence.VALIDATOR_ENDED), Terminate("d1", Evidence.OPERATOR), spent=spent) == []


def test_one_server_is_taken_out_in_a_window_and_one_intent_counts_once() -> None:
    assert reasons(DrainServer(SERVER.id), DrainServer(SERVER.id)) == []
    assert reasons(DrainServer(SERVER.id), DrainServer(OTHER.id)) == ["another server was taken out in this window"]
    assert reasons(DrainServer(SERVER.id), spent=Spent(servers={OTHER.id: NOW - 10}), approved_until=NOW + 1) == []

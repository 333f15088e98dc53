"""A drained node's copies end in order, the validator first, however young they are; jobs may finish."""

from __future__ import annotations

from dataclasses import replace

from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.gate import Spent, pass_gate
from app.gepetto.decision.intents import Evidence, Terminate
from app.gepetto.decision.memory import Memory
from app.gepetto.decision.reconcile import reconcile
from app.gepetto.world.snapshot import Snapshot
from app.gepetto.world.views import DeploymentState
from tests.support.gepetto import NOW, make_chute, make_deployment, make_server, make_snapshot, pod_of

SERVER, OTHER, CHUTE = make_server(), make_server(1), make_chute()
EMPTIED = replace(SERVER, locked=True, draining=True)
YOUNG = replace(make_deployment("d1", SERVER, CHUTE, 1), activated_at=NOW - 60)
JOB = make_deployment("d2", SERVER, CHUTE, 2, job_id="j")
ELSEWHERE = make_deployment("d3", OTHER, CHUTE, 1)
WORLD = make_snapshot((EMPTIED, OTHER), (CHUTE,), (YOUNG, JOB, ELSEWHERE))


def ended(snapshot: Snapshot) -> list[Terminate]:
    intents, _ = reconcile(snapshot, Configuration(), Memory())
    return [intent for intent in intents if isinstance(intent, Terminate)]


def test_copies_on_a_drained_node_are_ended_and_jobs_there_and_copies_elsewhere_are_not() -> None:
    assert [(intent.deployment_id, intent.evidence) for intent in ended(WORLD)] == [("d1", Evidence.NODE_DRAINED)]


def test_a_node_that_is_only_closed_keeps_its_copies() -> None:
    assert ended(replace(WORLD, servers=(replace(EMPTIED, draining=False), OTHER))) == []


def test_a_copy_that_is_leaving_already_is_not_ended_again() -> None:
    leaving = replace(YOUNG, state=DeploymentState.DRAINING)
    assert ended(replace(WORLD, deployments=(leaving, JOB, ELSEWHERE))) == []


def test_a_copy_whose_pod_has_ended_is_tidied_up_for_that_reason() -> None:
    finished = replace(WORLD, pods=(replace(pod_of(YOUNG), finished=True), pod_of(JOB), pod_of(ELSEWHERE)))
    assert [intent.evidence for intent in ended(finished)] == [Evidence.POD_FINISHED]


def test_neither_an_unpaid_hour_nor_a_spent_budget_holds_a_drain_back_and_a_job_is_never_ended_by_one() -> None:
    spent = Spent(copies=(NOW - 1,) * 50)
    wanted = (Terminate("d1", Evidence.NODE_DRAINED), Terminate("d2", Evidence.NODE_DRAINED))
    allowed, refused, _ = pass_gate(WORLD, wanted, Configuration(), spent)
    assert allowed == wanted[:1]
    assert [item.reason for item in refused] == ["a job is never ended by us"]

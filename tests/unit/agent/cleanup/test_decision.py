"""What the clean-up removes, and what it leaves alone when it cannot tell (spec: agent-monitor 16, 20.6)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from agent.cleanup.decision import decide, exit_reasons
from app.protocol.objects import KubernetesObject
from tests.support.kubernetes_objects import job, parsed, pod, service

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC).timestamp()


def failed(name: str, finished: str | None, **labels: str) -> KubernetesObject:
    body = pod(name)
    body["metadata"]["labels"] = labels or {"chutes/chute": "true"}
    body["status"] = {"phase": "Failed"}
    if finished:
        ended = {"exitCode": 137, "reason": "OOMKilled", "finishedAt": finished}
        body["status"]["containerStatuses"] = [{"name": "chute", "state": {"terminated": ended}}]
    return parsed(body)


def orphan(name: str, created: Any, deployment_id: str = "d1") -> KubernetesObject:
    body = service(name)
    body["metadata"]["creationTimestamp"] = created
    body["spec"]["selector"] = {"chutes/deployment-id": deployment_id} if deployment_id else {"app": "x"}
    return parsed(body)


@pytest.mark.parametrize(
    ("finished", "removed"),
    [("2026-01-01T11:49:00Z", True), ("2026-01-01T11:51:00Z", False), ("2027-01-01T00:00:00Z", False), (None, False)],
)
def test_a_failed_pod_is_kept_for_ten_minutes_and_for_ever_when_nothing_tells_its_age(
    finished: str | None, removed: bool
) -> None:
    removals = decide([failed("a", finished)], [], [], NOW)
    assert bool(removals) is removed
    if removed:
        assert "exited 137 (OOMKilled)" in removals[0].reason


def test_pods_that_run_or_are_no_chutes_are_left_alone() -> None:
    other = failed("b", "2026-01-01T00:00:00Z", app="other")
    assert decide([parsed(pod("a")), other], [], [], NOW) == ()


@pytest.mark.parametrize(
    ("created", "removed"),
    [("2026-01-01T11:54:00Z", True), ("2026-01-01T11:56:00Z", False), ("no time", False), (None, False), (7, False)],
)
def test_a_service_without_job_goes_after_five_minutes(created: object, removed: bool) -> None:
    assert bool(decide([], [], [orphan("s", created)], NOW)) is removed


def test_a_service_with_a_job_or_a_pod_or_another_selector_stays() -> None:
    old = "2026-01-01T00:00:00Z"
    live_job, live_pod = parsed(job("j")), parsed(pod("p"))
    services = [orphan("s1", old, "dep-j"), orphan("s2", old, "dep-p"), orphan("s3", old, "")]
    assert decide([live_pod], [live_job], services, NOW) == ()


def test_a_reason_is_found_even_when_the_pod_gives_none() -> None:
    assert exit_reasons({}) == "no reason given"
    assert exit_reasons({"status": {"reason": "Evicted"}}) == "Evicted"

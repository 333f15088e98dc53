"""Objects are ready when they do what they are there for, and say why they do not."""

from __future__ import annotations

from typing import Any

import pytest

from lab.engine.kubernetes import readiness
from lab.engine.kubernetes.readiness import READY, REVISION

JsonMap = dict[str, Any]


def owned(kind: str, name: str, owner: JsonMap, **more: Any) -> JsonMap:
    reference = {"kind": owner["kind"], "uid": owner["metadata"]["uid"]}
    return {"kind": kind, "metadata": {"name": name, "uid": name, "ownerReferences": [reference]}, **more}


def waiting_pod(owner: JsonMap, reason: str) -> JsonMap:
    status = {"containerStatuses": [{"name": "app", "state": {"waiting": {"reason": reason, "message": "why"}}}]}
    return owned("Pod", "pod-1", owner, status=status)


def deployment(revision: str = "1", available: str = "True", observed: int = 2, progress: str = "x") -> JsonMap:
    conditions = [
        {"type": "Available", "status": available, "reason": "R", "message": "M"},
        {"type": "Progressing", "status": "True", "reason": progress},
    ]
    return {
        "kind": "Deployment",
        "metadata": {"name": "web", "uid": "u1", "generation": 2, "annotations": {REVISION: revision}},
        "status": {"observedGeneration": observed, "conditions": conditions},
    }


def replica_set(owner: JsonMap, ready: int = 1, revision: str = "1") -> JsonMap:
    found = owned("ReplicaSet", "rs", owner, spec={"replicas": 1}, status={"readyReplicas": ready})
    found["metadata"]["annotations"] = {REVISION: revision}
    return found


def test_a_deployment_is_ready_with_its_replica_set() -> None:
    live = deployment()
    assert readiness.deployment(live, [replica_set(live)], []) == READY


@pytest.mark.parametrize(
    ("live", "ready", "detail"),
    [
        (deployment(available="False"), 1, "minimum number of live pods"),
        (deployment(), 0, "new revision are not live"),
        (deployment("2"), 1, "new revision are not live"),
    ],
)
def test_a_deployment_says_why_it_is_not_ready(live: JsonMap, ready: int, detail: str) -> None:
    revision = live["metadata"]["annotations"][REVISION]
    found = readiness.deployment(live, [replica_set(live, ready, revision)], [])
    assert not found.is_ready
    assert detail in " ".join(found.details)


def test_a_generation_that_the_controller_has_not_seen_is_not_ready() -> None:
    live = deployment(observed=1)
    assert not readiness.deployment(live, [replica_set(live)], []).is_ready


def test_a_rolled_out_second_revision_is_ready() -> None:
    live = deployment("2", progress="NewReplicaSetAvailable")
    assert readiness.deployment(live, [replica_set(live, revision="2")], []).is_ready


def test_the_problems_of_its_pods_explain_a_deployment() -> None:
    live = deployment(available="False")
    current = replica_set(live, 0)
    found = readiness.deployment(live, [current], [waiting_pod(current, "ErrImagePull")])
    assert "pod pod-1, app: [ErrImagePull] why" in found.details
    assert readiness.pod_problems([waiting_pod(current, "ContainerCreating")]) == ()


def test_a_pod_that_cannot_be_scheduled_is_named() -> None:
    status = {
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU"}]
    }
    pod: JsonMap = {"kind": "Pod", "metadata": {"name": "p"}, "status": status}
    assert readiness.pod(pod).details == ("pod p: [Unschedulable] no GPU",)
    assert readiness.pod({"status": {"phase": "Succeeded"}}) == READY
    assert readiness.pod({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}) == READY


def stateful_set(ready: int = 1, after: str = "r1", strategy: str = "RollingUpdate", **counts: int) -> JsonMap:
    status = {"observedGeneration": 2, "replicas": 1, "readyReplicas": ready, "currentReplicas": 1, **counts}
    return {
        "kind": "StatefulSet",
        "metadata": {"name": "db", "uid": "u2", "generation": 2},
        "spec": {"replicas": 1, "updateStrategy": {"type": strategy}},
        "status": {**status, "currentRevision": "r1", "updateRevision": after},
    }


def test_a_stateful_set_is_ready_with_all_replicas_of_one_revision() -> None:
    assert readiness.stateful_set(stateful_set(), []) == READY
    assert readiness.stateful_set(stateful_set(0), []).details == ("0 of 1 replicas are ready",)
    assert "from revision 'r1' to 'r2'" in readiness.stateful_set(stateful_set(after="r2"), []).details[0]
    assert readiness.stateful_set(stateful_set(after="r2", strategy="OnDelete"), []) == READY


def test_a_daemon_set_is_ready_on_every_node() -> None:
    keys = ("currentNumberScheduled", "updatedNumberScheduled", "numberAvailable", "numberReady")
    status = {"observedGeneration": 1, "desiredNumberScheduled": 2, **dict.fromkeys(keys, 2)}
    live: JsonMap = {"kind": "DaemonSet", "metadata": {"uid": "u", "generation": 1}, "status": status}
    assert readiness.daemon_set(live, []) == READY
    short: JsonMap = {**live, "status": {**status, "numberReady": 1}}
    assert readiness.daemon_set(short, []).details == ("numberReady is 1, wanted 2",)
    unseen: JsonMap = {**live, "metadata": {"generation": 2}}
    assert readiness.daemon_set(unseen, []).details == ("the controller has not seen the current generation",)


def test_a_job_is_ready_when_complete_and_failed_when_given_up() -> None:
    complete = {"startTime": "now", "conditions": [{"type": "Complete", "status": "True"}]}
    assert readiness.job({"status": complete}, []) == READY
    failure = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"}
    failed = readiness.job({"status": {"conditions": [failure]}}, [])
    assert failed.has_failed
    assert failed.details == ("[BackoffLimitExceeded] too often",)
    assert not readiness.job({"status": {}}, []).is_ready


SELECTED: JsonMap = {"spec": {"selector": {"app": "web"}}}
READY_SLICE: JsonMap = {"endpoints": [{"conditions": {"ready": True}}]}
UNREADY_SLICE: JsonMap = {"endpoints": [{"conditions": {"ready": False}}]}


def test_a_service_is_ready_with_a_ready_endpoint_or_where_none_is_needed() -> None:
    assert readiness.service(SELECTED, None, [READY_SLICE]) == READY
    assert readiness.service(SELECTED, {"subsets": [{"addresses": [{}]}]}, []) == READY
    for spec in ({"type": "ExternalName"}, {"clusterIP": "None", "selector": {"a": "b"}}, {}):
        assert readiness.service({"spec": spec}, None, []) == READY


def test_a_service_without_endpoints_suffices_but_not_one_with_unready_pods() -> None:
    assert readiness.service(SELECTED, None, [UNREADY_SLICE]).suffices
    pending = readiness.service(SELECTED, {"subsets": [{"notReadyAddresses": [{}]}]}, [READY_SLICE])
    assert (pending.is_ready, pending.suffices) == (False, False)
    balanced: JsonMap = {"spec": {"type": "LoadBalancer", "selector": {"a": "b"}}}
    assert "no address was allocated" in readiness.service(balanced, None, [READY_SLICE]).details[0]


def test_a_claim_is_ready_when_bound_or_when_it_waits_for_its_first_pod() -> None:
    assert readiness.volume_claim({"status": {"phase": "Bound"}}, "") == READY
    assert readiness.volume_claim({"status": {"phase": "Pending"}}, "WaitForFirstConsumer") == READY
    assert readiness.volume_claim({"status": {"phase": "Pending"}}, "Immediate").details == (
        "the claim is Pending, not Bound",
    )

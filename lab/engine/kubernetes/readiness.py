"""Whether an object does what it is there for, judged from snapshots of it and of what belongs to it. Pure.

The conditions are those of the recorded official provider (docs/coverage/kubernetes-provider.md names differences).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from lab.engine.kubernetes.manifests import Manifest, annotation, is_owned_by, items, name_of, number, pluck, text

REVISION: Final = "deployment.kubernetes.io/revision"


@dataclass(frozen=True)
class Readiness:
    """A judgement.

    Attributes:
        is_ready: nothing to wait for.
        details: what is amiss, one text each.
        has_failed: it will not become ready by waiting.
        suffices: not ready, but good enough when the time is over.
    """

    is_ready: bool
    details: tuple[str, ...] = ()
    has_failed: bool = False
    suffices: bool = False


READY: Final = Readiness(True)


def condition(live: Manifest, kind: str) -> Manifest:
    """The status condition of a type; empty if there is none."""
    for entry in items(live, "status", "conditions"):
        if isinstance(entry, dict) and entry.get("type") == kind:
            return entry
    return {}


def is_observed(live: Manifest) -> bool:
    """Whether the controller has seen the current generation."""
    return number(live, "status", "observedGeneration") >= number(live, "metadata", "generation", default=1)


def deployment(live: Manifest, replica_sets: Iterable[Manifest], pods: Iterable[Manifest]) -> Readiness:
    """Ready when the controller has seen it, it is available, and the replica set of its revision is ready."""
    current = _current_replica_set(live, replica_sets)
    available = condition(live, "Available").get("status") == "True"
    is_rolled_out = _is_rolled_out(live)
    has_pods = current is not None and _has_all_replicas(current)
    if is_observed(live) and annotation(live, REVISION) and available and is_rolled_out and has_pods:
        return READY
    details = _false_conditions(live)
    if not available:
        details.append("the minimum number of live pods was not reached")
    elif not (is_rolled_out and has_pods):
        details.append("the pods of the new revision are not live")
    if current is not None:
        details += pod_problems(pod for pod in pods if is_owned_by(pod, current))
    return Readiness(False, tuple(details))


def _current_replica_set(live: Manifest, replica_sets: Iterable[Manifest]) -> Manifest | None:
    """That of the deployment's own revision."""
    revision = annotation(live, REVISION)
    for owned in replica_sets:
        if is_owned_by(owned, live) and annotation(owned, REVISION) == revision:
            return owned
    return None


def _has_all_replicas(replica_set: Manifest) -> bool:
    wanted = number(replica_set, "spec", "replicas", default=1)
    return number(replica_set, "status", "readyReplicas") >= wanted


def _is_rolled_out(live: Manifest) -> bool:
    """A first revision replaces none: nothing is rolled out."""
    if annotation(live, REVISION) == "1":
        return True
    progress = condition(live, "Progressing")
    return progress.get("status") == "True" and progress.get("reason") == "NewReplicaSetAvailable"


def _false_conditions(live: Manifest) -> list[str]:
    found = (condition(live, kind) for kind in ("Available", "Progressing"))
    return [f"[{text(entry, 'reason')}] {text(entry, 'message')}" for entry in found if entry.get("status") == "False"]


def stateful_set(live: Manifest, pods: Iterable[Manifest]) -> Readiness:
    """Ready when all replicas are, and all run the wanted revision."""
    wanted = number(live, "spec", "replicas", default=1)
    ready = number(live, "status", "readyReplicas")
    counts = {number(live, "status", key) for key in ("replicas", "readyReplicas")}
    before, after = text(live, "status", "currentRevision"), text(live, "status", "updateRevision")
    if text(live, "spec", "updateStrategy", "type") == "OnDelete" and number(live, "metadata", "generation") > 1:
        has_revision = True
    else:
        has_revision = bool(before) and before == after
        counts.add(number(live, "status", "currentReplicas"))
    if is_observed(live) and has_revision and counts == {wanted}:
        return READY
    details = [] if counts == {wanted} else [f"{ready} of {wanted} replicas are ready"]
    if not has_revision:
        details.append(f"the controller has not gone from revision {before!r} to {after!r}")
    return Readiness(False, (*details, *pod_problems(pod for pod in pods if is_owned_by(pod, live))))


def daemon_set(live: Manifest, pods: Iterable[Manifest]) -> Readiness:
    """Ready when every node that should run a pod runs an available one of the current revision."""
    wanted = number(live, "status", "desiredNumberScheduled")
    keys = ("currentNumberScheduled", "updatedNumberScheduled", "numberAvailable", "numberReady")
    short = [key for key in keys if number(live, "status", key) < wanted]
    if is_observed(live) and not short:
        return READY
    details = [f"{key} is {number(live, 'status', key)}, wanted {wanted}" for key in short]
    if not is_observed(live):
        details = ["the controller has not seen the current generation"]
    return Readiness(False, (*details, *pod_problems(pod for pod in pods if is_owned_by(pod, live))))


def job(live: Manifest, pods: Iterable[Manifest]) -> Readiness:
    """Ready when it is complete; failed when its controller gave up."""
    failure = condition(live, "Failed")
    if failure.get("status") == "True":
        return Readiness(False, (f"[{text(failure, 'reason')}] {text(failure, 'message')}",), has_failed=True)
    if text(live, "status", "startTime") and condition(live, "Complete").get("status") == "True":
        return READY
    return Readiness(False, pod_problems(pod for pod in pods if is_owned_by(pod, live)))


def pod(live: Manifest) -> Readiness:
    """Ready when it says so, or has done its work."""
    if condition(live, "Ready").get("status") == "True" or text(live, "status", "phase") == "Succeeded":
        return READY
    return Readiness(False, pod_problems([live]))


def service(live: Manifest, endpoints: Manifest | None, slices: Iterable[Manifest]) -> Readiness:
    """Ready with a ready endpoint, or where none is needed. Without any endpoint it suffices when the time is over."""
    kind = text(live, "spec", "type") or "ClusterIP"
    if kind == "LoadBalancer" and not items(live, "status", "loadBalancer", "ingress"):
        return Readiness(False, ("no address was allocated; does something here provide load balancers?",))
    if kind == "ExternalName" or text(live, "spec", "clusterIP") == "None" or not pluck(live, "spec", "selector"):
        return READY
    subsets = items(endpoints, "subsets")
    is_pending = any(items(subset, "notReadyAddresses") for subset in subsets)
    is_served = any(items(subset, "addresses") for subset in subsets)
    if (is_served or _has_ready_endpoint(slices)) and not is_pending:
        return READY
    return Readiness(False, ("no ready pod is behind its selector",), suffices=not is_pending)


def _has_ready_endpoint(slices: Iterable[Manifest]) -> bool:
    endpoints = (endpoint for entry in slices for endpoint in items(entry, "endpoints"))
    return any(pluck(endpoint, "conditions", "ready") is True for endpoint in endpoints)


def volume_claim(live: Manifest, binding_mode: str) -> Readiness:
    """Ready when bound, or pending where binding waits for the first pod."""
    phase = text(live, "status", "phase")
    if phase == "Bound" or (phase == "Pending" and binding_mode == "WaitForFirstConsumer"):
        return READY
    return Readiness(False, (f"the claim is {phase or 'new'}, not Bound",))


def pod_problems(pods: Iterable[Manifest]) -> tuple[str, ...]:
    """What keeps pods from running: why they are not scheduled, and what their containers wait for."""
    return tuple(problem for entry in pods for problem in _problems_of(entry))


def _problems_of(entry: Manifest) -> list[str]:
    scheduled = condition(entry, "PodScheduled")
    if scheduled.get("status") == "False":
        return [f"pod {name_of(entry)}: [{text(scheduled, 'reason')}] {text(scheduled, 'message')}"]
    problems: list[str] = []
    for status in (*items(entry, "status", "initContainerStatuses"), *items(entry, "status", "containerStatuses")):
        waiting = pluck(status, "state", "waiting") or pluck(status, "state", "terminated")
        reason = text(waiting, "reason")
        if reason and reason not in ("ContainerCreating", "PodInitializing", "Completed"):
            problems.append(f"pod {name_of(entry)}, {text(status, 'name')}: [{reason}] {text(waiting, 'message')}")
    return problems

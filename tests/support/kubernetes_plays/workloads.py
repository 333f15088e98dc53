"""Plays of objects that are waited for: ready, not ready, skipped."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from tests.support.kubernetes_plays.objects import live
from tests.support.kubernetes_plays.resource import Resource
from tests.support.kubernetes_plays.stage import Plays, Stage
from tests.support.kubernetes_plays.wishes import SKIP, config_map, deployment, metadata, once, service, template
from tests.support.vectors import Json

PLAYS: Final = Plays()
_MOMENT: Final = "2026-01-01T00:00:00Z"


@PLAYS
def job(stage: Stage) -> None:
    provider, cluster, space = stage.set_up()
    path = f"/apis/batch/v1/namespaces/{space}/jobs"

    def wanted(name: str, image: str = "example.org/app:1") -> Json:
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata(space, name, annotations={}),
            "spec": {"backoffLimit": 1, "template": once(image)},
        }

    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": _MOMENT, "reason": "CompletionsReached"}
        for kind in ("SuccessCriteriaMet", "Complete")
    ]
    finished = {"startTime": _MOMENT, "completionTime": _MOMENT, "succeeded": 1, "conditions": conditions}
    done = Resource(provider, "batch/v1:Job", "once")
    stage.background(lambda: cluster.status(f"{path}/once", finished))
    done.create(wanted("once"), timeout=20)
    done.diff(wanted("once", "example.org/app:2"), "image changed")
    done.read()
    done.delete(timeout=20)
    broken = Resource(provider, "batch/v1:Job", "broken")
    broken.create(wanted("broken"), "broken", timeout=3, preview=False)
    broken.delete("broken delete", timeout=20)


@PLAYS
def daemon_set(stage: Stage) -> None:
    provider, cluster, space = stage.set_up()
    labels = {"app": "agent"}

    def wanted(image: str) -> Json:
        return {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": metadata(space, "agent"),
            "spec": {"selector": {"matchLabels": labels}, "template": template(labels, image)},
        }

    def act() -> None:
        path = f"/apis/apps/v1/namespaces/{space}/daemonsets/agent"
        counts = dict.fromkeys(
            (
                "currentNumberScheduled",
                "desiredNumberScheduled",
                "numberReady",
                "updatedNumberScheduled",
                "numberAvailable",
            ),
            1,
        )
        cluster.status(path, {**counts, "observedGeneration": 1, "numberMisscheduled": 0})
        cluster.observe(path, 2)

    stage.background(act)
    live(provider, "apps/v1:DaemonSet", "agent", wanted("example.org/a:1"), wanted("example.org/a:2"))


@PLAYS
def stateful_set(stage: Stage) -> None:
    provider, cluster, space = stage.set_up()
    labels = {"app": "db"}

    def wanted(replicas: int, service_name: str = "db", **annotations: str) -> Json:
        spec = {"replicas": replicas, "serviceName": service_name, "selector": {"matchLabels": labels}}
        return {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": metadata(space, "db", annotations=annotations),
            "spec": {**spec, "template": template(labels, "example.org/db:1")},
        }

    counts = ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    status = {**dict.fromkeys(counts, 1), "observedGeneration": 1, "currentRevision": "db-1", "updateRevision": "db-1"}
    thing = Resource(provider, "apps/v1:StatefulSet", "db")
    stage.background(lambda: cluster.status(f"/apis/apps/v1/namespaces/{space}/statefulsets/db", status))
    thing.create(wanted(1), timeout=20)
    thing.diff(wanted(1, "other"), "service name changed")
    thing.update(wanted(2), "update without readiness", timeout=3)
    thing.read()
    thing.update(wanted(1, **SKIP), "update skipping await")
    thing.delete(timeout=20)


@PLAYS
def persistent_volume_claim(stage: Stage) -> None:
    provider, cluster, space = stage.set_up()
    path = f"/api/v1/namespaces/{space}/persistentvolumeclaims"

    def wanted(name: str, size: str = "1Gi", mode: str = "ReadWriteOnce", **annotations: str) -> Json:
        spec = {"accessModes": [mode], "storageClassName": "none", "resources": {"requests": {"storage": size}}}
        described = metadata(space, name, annotations=annotations)
        return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": described, "spec": spec}

    skipped = Resource(provider, "core/v1:PersistentVolumeClaim", "skipped")
    skipped.create(wanted("skipped", **SKIP), "skipped")
    skipped.diff(wanted("skipped", "2Gi", **SKIP), "size changed")
    skipped.diff(wanted("skipped", "1Gi", "ReadWriteMany", **SKIP), "access mode changed")
    bound = Resource(provider, "core/v1:PersistentVolumeClaim", "bound")
    stage.background(lambda: cluster.status(f"{path}/bound", {"phase": "Bound"}))
    bound.create(wanted("bound"), "bound", timeout=20)
    bound.read()
    for thing in (skipped, bound):
        cluster.merge(f"{path}/{thing.name}", {"metadata": {"finalizers": None}})
        thing.delete(f"{thing.name} delete", timeout=20)


@PLAYS
def deployment_skip_await(stage: Stage) -> None:
    provider, _, space = stage.set_up()
    second = deployment(space, "web", 3, "example.org/app:2", **SKIP)
    live(provider, "apps/v1:Deployment", "web", deployment(space, "web", **SKIP), second)


@PLAYS
def deployment_await_fails(stage: Stage) -> None:
    """No controller at all: the create is a partial failure, and so is a Read afterwards."""
    provider, _, space = stage.set_up()
    thing = Resource(provider, "apps/v1:Deployment", "web")
    thing.create(deployment(space, "web"), timeout=3)
    thing.read()
    thing.diff(deployment(space, "web"), "same")
    thing.update(deployment(space, "web"), "again", timeout=3)
    thing.delete(timeout=20)


@PLAYS
def deployment_await_deadline(stage: Stage) -> None:
    """The controller reports that the roll-out exceeded its deadline."""
    provider, cluster, space = stage.set_up()
    thing = Resource(provider, "apps/v1:Deployment", "web")
    stage.background(lambda: cluster.roll_out(space, "web", available=False))
    thing.create(deployment(space, "web"), timeout=4, preview=False)
    thing.delete(timeout=20)


@PLAYS
def deployment_await_succeeds(stage: Stage) -> None:
    provider, cluster, space = stage.set_up()
    thing = Resource(provider, "apps/v1:Deployment", "web")
    stage.background(lambda: cluster.roll_out(space, "web"))
    thing.create(deployment(space, "web"), timeout=20)
    thing.read()
    thing.diff(deployment(space, "web"), "same")
    stage.background(lambda: cluster.observe(f"/apis/apps/v1/namespaces/{space}/deployments/web", 3))
    thing.update(deployment(space, "web", note="metadata-only"), "annotation added", timeout=20)
    thing.delete(timeout=20)


@PLAYS
def wait_for(stage: Stage) -> None:
    """`pulumi.com/waitFor` on an object of any kind."""
    provider, cluster, space = stage.set_up()
    path = f"/api/v1/namespaces/{space}/configmaps/slow"
    annotations = {"pulumi.com/waitFor": "jsonpath={.data.ready}=yes"}

    def act() -> None:
        cluster.wait(path)
        time.sleep(0.5)
        cluster.merge(path, {"data": {"ready": "yes"}})

    thing = Resource(provider, "core/v1:ConfigMap", "slow")
    stage.background(act)
    thing.create(config_map(space, "slow", {"a": "1"}, annotations=annotations), timeout=20)
    late = Resource(provider, "core/v1:ConfigMap", "late")
    late.create(config_map(space, "late", {"a": "1"}, annotations=annotations), "late", timeout=3, preview=False)
    thing.delete()
    late.delete("late delete")


@PLAYS
def service_kinds(stage: Stage) -> None:
    """No endpoints anywhere: nothing here makes any."""
    provider, _, space = stage.set_up()
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]

    def made(name: str, tag: str, timeout: float = 0, *, preview: bool = True, **spec: Any) -> Resource:
        thing = Resource(provider, "core/v1:Service", name)
        thing.create(service(space, name, **spec), tag, timeout=timeout, preview=preview)
        return thing

    external = made("external", "external", type="ExternalName", externalName="example.org")
    headless = made("headless", "headless", clusterIP="None", selector={"app": "web"}, ports=ports)
    inner = {"clusterIP": "10.43.0.77", "selector": {"app": "web"}}
    first, second = (service(space, "web", **inner, ports=[{**ports[0], "targetPort": port}]) for port in (8080, 8081))
    for item in (first, second):
        item["metadata"]["annotations"] = SKIP
    skipped = Resource(provider, "core/v1:Service", "web")
    skipped.create(first, "skipped")
    skipped.update(second, "skipped update")
    skipped.diff({**second, "spec": {**second["spec"], "type": "NodePort"}}, "node port")
    alone = {"clusterIP": "10.43.0.78", "selector": {"app": "none"}, "ports": ports}
    lonely = made("lonely", "lonely", timeout=3, preview=False, **alone)
    lonely.read("lonely read")
    for thing in (external, headless, skipped, lonely):
        thing.delete(f"{thing.name} delete")


@PLAYS
def service_endpoints(stage: Stage) -> None:
    """Endpoint slices with and without a ready address."""
    provider, cluster, space = stage.set_up()

    def slice_of(name: str, *, ready: bool) -> Callable[[], None]:
        def make() -> None:
            cluster.wait(f"/api/v1/namespaces/{space}/services/{name}")
            labels = {"kubernetes.io/service-name": name}
            endpoint = {"addresses": ["192.0.2.1"], "conditions": {"ready": ready}}
            body = {"metadata": {"name": f"{name}-1", "labels": labels}, "addressType": "IPv4", "endpoints": [endpoint]}
            cluster.call("POST", f"/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices", body)

        return make

    for name, ready, address in (("waiting", False, "10.43.0.81"), ("served", True, "10.43.0.82")):
        thing = Resource(provider, "core/v1:Service", name)
        stage.background(slice_of(name, ready=ready))
        wanted = service(space, name, clusterIP=address, selector={"app": name}, ports=[{"port": 80}])
        thing.create(wanted, name, timeout=20 if ready else 4)
        thing.read(name)
        thing.delete(f"{name} delete")


PLAYS["service"] = PLAYS.pop("service-kinds")  # `service` is a helper's name here

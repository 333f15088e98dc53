"""Plays in which somebody else changes the cluster, or an object has to be replaced."""

from __future__ import annotations

import json
from typing import Final

from tests.support.kubernetes_plays.resource import Resource
from tests.support.kubernetes_plays.stage import Plays, Stage
from tests.support.kubernetes_plays.wishes import FORCE, SKIP, config_map, deployment

PLAYS: Final = Plays()


@PLAYS
def immutable_selector(stage: Stage) -> None:
    provider, _, space = stage.set_up()
    thing = Resource(provider, "apps/v1:Deployment", "web")
    thing.create(deployment(space, "web", **SKIP))
    labels = {"app": "web", "tier": "front"}
    thing.diff(deployment(space, "web", labels=labels, **SKIP), "selector and labels changed")
    autonamed = Resource(provider, "apps/v1:Deployment", "auto")
    autonamed.create(deployment(space, None, labels={"app": "a"}, **SKIP), "autonamed")
    autonamed.diff(deployment(space, None, labels={"app": "b"}, **SKIP), "autonamed selector changed")
    for one in (thing, autonamed):
        one.delete(f"{one.name} delete", timeout=20)


@PLAYS
def namespace_change(stage: Stage) -> None:
    provider, cluster, space = stage.set_up()
    cluster.namespace("v-namespace-change-2")
    named = Resource(provider, "core/v1:ConfigMap", "settings")
    named.create(config_map(space, "settings", {"a": "1"}), "named")
    named.diff(config_map("v-namespace-change-2", "settings", {"a": "1"}), "named, other namespace")
    named.diff(config_map("default", "settings", {"a": "1"}), "named, default namespace")
    autonamed = Resource(provider, "core/v1:ConfigMap", "auto")
    autonamed.create(config_map(space, None, {"a": "1"}), "autonamed")
    autonamed.diff(config_map("v-namespace-change-2", None, {"a": "1"}), "autonamed, other namespace")
    for thing in (named, autonamed):
        thing.delete(f"{thing.name} delete")


@PLAYS
def field_conflict(stage: Stage) -> None:
    """Others change `replicas`: kubectl is overruled or not, a stranger is a conflict, patchForce takes the field."""
    provider, cluster, space = stage.set_up()
    path = f"/apis/apps/v1/namespaces/{space}/deployments/web"
    thing = Resource(provider, "apps/v1:Deployment", "web")
    scaled = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 5}}
    thing.create(deployment(space, "web", **SKIP))
    cluster.apply(path, scaled, "kubectl")
    thing.update(deployment(space, "web", 3, **SKIP), "kubectl applied")
    cluster.merge(path, {"spec": {"replicas": 6}}, "kubectl")
    thing.update(deployment(space, "web", 4, **SKIP), "kubectl edited")
    cluster.merge(path, {"spec": {"replicas": 7}}, "autoscaler")
    thing.diff(deployment(space, "web", 4, **SKIP), "autoscaler edited: same inputs, not read")
    thing.update(deployment(space, "web", 2, **SKIP), "autoscaler edited: not read")
    thing.read()
    thing.diff(deployment(space, "web", 4, **SKIP), "same inputs, after read")
    thing.update(deployment(space, "web", 4, **SKIP), "after read")
    thing.update(deployment(space, "web", 4, **SKIP, **FORCE), "forced")
    thing.read("after forced")
    thing.delete(timeout=20)


@PLAYS
def field_conflict_first_update(stage: Stage) -> None:
    """Another manager changes a field before the provider's first server-side apply."""
    provider, cluster, space = stage.set_up()
    thing = Resource(provider, "apps/v1:Deployment", "web")
    thing.create(deployment(space, "web", **SKIP))
    path = f"/apis/apps/v1/namespaces/{space}/deployments/web"
    cluster.merge(path, {"spec": {"replicas": 7}}, "autoscaler")
    thing.update(deployment(space, "web", 3, **SKIP))
    thing.delete(timeout=20)


@PLAYS
def create_over_existing(stage: Stage) -> None:
    """The object is already there, made by someone else."""
    provider, cluster, space = stage.set_up()
    for name in ("same", "other"):
        body = {"metadata": {"name": name}, "data": {"a": "1"}}
        cluster.call("POST", f"/api/v1/namespaces/{space}/configmaps?fieldManager=kubectl", body)
    Resource(provider, "core/v1:ConfigMap", "same").create(config_map(space, "same", {"a": "1"}), "same")
    Resource(provider, "core/v1:ConfigMap", "other").create(config_map(space, "other", {"a": "2"}), "other")
    forced = config_map(space, "other", {"a": "2"}, annotations=FORCE)
    Resource(provider, "core/v1:ConfigMap", "forced").create(forced, "forced")


@PLAYS
def drift(stage: Stage) -> None:
    provider, cluster, space = stage.set_up()
    path = f"/api/v1/namespaces/{space}/configmaps/settings"
    thing = Resource(provider, "core/v1:ConfigMap", "settings")
    wanted = config_map(space, "settings", {"a": "1"}, labels={"x": "y"})
    thing.create(wanted)
    for what, change in (
        ("foreign annotation", {"metadata": {"annotations": {"seen": "yes"}}}),
        ("key added outside", {"data": {"b": "new"}}),
        ("value changed outside", {"data": {"a": "hacked"}}),
    ):
        cluster.merge(path, change, "kubectl")
        thing.read(what)
        thing.diff(wanted, f"after {what}")
    cluster.merge(path, {"metadata": {"labels": {"x": None}}}, "kubectl")
    thing.read("label removed outside")
    thing.update(wanted, "after label removed outside")
    thing.delete()


@PLAYS
def deleted_outside(stage: Stage) -> None:
    provider, cluster, space = stage.set_up()
    path = f"/api/v1/namespaces/{space}/configmaps/settings"
    thing = Resource(provider, "core/v1:ConfigMap", "settings")
    thing.create(config_map(space, "settings", {"a": "1"}))
    cluster.drop(path)
    thing.diff(config_map(space, "settings", {"a": "1"}), "same, not read")
    thing.update(config_map(space, "settings", {"a": "1"}, labels={"x": "y"}), "not read")
    cluster.drop(path)
    thing.read()
    thing.delete()


@PLAYS
def imported(stage: Stage) -> None:
    """Read by id alone: inputs have to come from the live object."""
    provider, cluster, space = stage.set_up()
    path = f"/api/v1/namespaces/{space}/configmaps?fieldManager=kubectl"
    cluster.call("POST", path, {"metadata": {"name": "legacy"}, "data": {"a": "1"}})
    Resource(provider, "core/v1:ConfigMap", "legacy").import_(f"{space}/legacy")
    applied = json.dumps(config_map(space, "applied", {"a": "1"}))
    note = {"kubectl.kubernetes.io/last-applied-configuration": applied}
    cluster.call("POST", path, config_map(space, "applied", {"a": "1"}, annotations=note))
    Resource(provider, "core/v1:ConfigMap", "applied").import_(f"{space}/applied", "last applied")
    Resource(provider, "core/v1:ConfigMap", "none").import_(f"{space}/none", "missing")
    Resource(provider, "core/v1:Namespace", "space").import_(space, "namespace")

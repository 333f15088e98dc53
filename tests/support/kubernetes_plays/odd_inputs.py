"""Plays with inputs that are not known yet, or no good, and with patches and custom resources."""

from __future__ import annotations

from typing import Final

from lab.engine.kubernetes.values import UNKNOWN_TEXT
from tests.support.kubernetes_plays.resource import Resource
from tests.support.kubernetes_plays.stage import Plays, Stage
from tests.support.kubernetes_plays.wishes import FORCE, SKIP, config_map, deployment, metadata, node, secret
from tests.support.vectors import Json

PLAYS: Final = Plays()
_UNKNOWN_NUMBER: Final = "3eeb2bf0-c639-47a8-9e75-3b44932eb421"
_UNKNOWN_OBJECT: Final = "dd056dcd-154b-4c76-9bd3-c8f88648b5ff"


@PLAYS
def unknown_inputs(stage: Stage) -> None:
    provider, _, space = stage.set_up()

    def preview(name: str, wanted: Json, tag: str, kind: str = "core/v1:ConfigMap") -> None:
        Resource(provider, kind, name).create(wanted, tag, real=False)

    known = Resource(provider, "core/v1:ConfigMap", "value")
    known.create(config_map(space, "value", {"a": UNKNOWN_TEXT}), "unknown value", real=False)
    preview("name", config_map(space, UNKNOWN_TEXT, {"a": "1"}), "unknown name")
    preview("space", config_map(UNKNOWN_TEXT, None, {"a": "1"}), "unknown namespace")
    described = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _UNKNOWN_OBJECT, "data": {"a": "1"}}
    preview("meta", described, "unknown metadata")
    preview("hidden", config_map(space, "hidden", {"a": secret(UNKNOWN_TEXT)}), "secret unknown")
    known.create(config_map(space, "value", {"a": "1"}), "then known")
    known.update(config_map(space, "value", {"a": UNKNOWN_TEXT}), "unknown update", real=False)
    known.diff(config_map(UNKNOWN_TEXT, "value", {"a": "1"}), "unknown namespace now")
    scaled = deployment(space, "web", **SKIP)
    scaled["spec"]["replicas"] = _UNKNOWN_NUMBER
    preview("web", scaled, "unknown number", "apps/v1:Deployment")
    known.delete()


@PLAYS
def namespace_missing(stage: Stage) -> None:
    """The namespace is made by the same program, so at preview it is not there yet."""
    thing = Resource(stage.provider(), "core/v1:ConfigMap", "settings")
    thing.create(config_map("v-not-there", "settings", {"a": "1"}))


@PLAYS
def invalid_manifest(stage: Stage) -> None:
    provider, _, space = stage.set_up()

    def attempt(tag: str, kind: str, manifest: Json, *, real: bool = True) -> None:
        Resource(provider, kind, tag.replace(" ", "-")).create(manifest, tag, real=real)

    attempt("bad name", "core/v1:ConfigMap", config_map(space, "Not_Valid", {"a": "1"}))
    attempt("number for string", "core/v1:ConfigMap", config_map(space, "number", {"a": 1}))
    selector = deployment(space, "web", **SKIP)
    selector["spec"]["selector"] = {"matchLabels": {"app": "other"}}
    attempt("selector mismatch", "apps/v1:Deployment", selector)
    missing = deployment(space, "missing", **SKIP)
    del missing["spec"]["selector"]
    attempt("selector missing", "apps/v1:Deployment", missing)
    typo = deployment(space, "typo", **SKIP)
    typo["spec"]["replicaz"] = 1
    attempt("unknown field", "apps/v1:Deployment", typo)
    nowhere = {
        "apiVersion": "nowhere.example.org/v1",
        "kind": "Thing",
        "metadata": metadata(space, "thing"),
        "spec": {},
    }
    attempt("no such kind", "nowhere.example.org/v1:Thing", nowhere, real=False)
    kindless = {"metadata": metadata(space, "kindless"), "data": {"a": "1"}}
    attempt("kind missing", "core/v1:ConfigMap", kindless, real=False)
    thing = Resource(provider, "apps/v1:Deployment", "good")
    thing.create(deployment(space, "good", **SKIP))
    thing.update(deployment(space, "good", -1, **SKIP), "rejected update")
    thing.delete(timeout=20)


@PLAYS
def node_patch(stage: Stage) -> None:
    provider, cluster = stage.provider(), stage.cluster()
    path = "/api/v1/nodes/v-node"
    cluster.drop(path)
    cluster.drop("/api/v1/nodes/v-no-such-node")
    body = {"metadata": {"name": "v-node", "labels": {"owner": "kubelet"}}}
    cluster.call("POST", "/api/v1/nodes?fieldManager=kubelet", body)
    thing = Resource(provider, "core/v1:NodePatch", "gpu")
    thing.create(node({"gpu": "h200"}))
    thing.diff(node({"gpu": "h200"}), "same")
    thing.update(node({"gpu": "h100", "zone": "a"}))
    thing.read()
    contested = {"gpu": "h100", "zone": "a", "owner": "me"}
    thing.update(node(contested), "owned by another")
    thing.update(node(contested, **FORCE), "forced")
    thing.delete()
    labels = (cluster.get(path) or {}).get("metadata", {}).get("labels", {})
    stage.keep("left on the node", "GET", {"response": {"labels": labels}})
    Resource(provider, "core/v1:NodePatch", "nowhere").create(node({"gpu": "h200"}, "v-no-such-node"), "no such node")
    Resource(provider, "core/v1:NodePatch", "nameless").create(node({"gpu": "h200"}, None), "no name")
    cluster.drop("/api/v1/nodes/v-no-such-node")
    cluster.drop(path)


@PLAYS
def configmap_patch(stage: Stage) -> None:
    provider, cluster, space = stage.set_up()
    path = f"/api/v1/namespaces/{space}/configmaps"
    cluster.call("POST", f"{path}?fieldManager=kubectl", {"metadata": {"name": "shared"}, "data": {"theirs": "1"}})
    thing = Resource(provider, "core/v1:ConfigMapPatch", "ours")
    thing.create(config_map(space, "shared", {"ours": "1"}))
    thing.update(config_map(space, "shared", {"ours": "2"}))
    cluster.merge(f"{path}/shared", {"data": {"ours": "hacked"}}, "kubectl")
    thing.read()
    thing.diff(config_map(space, "shared", {"ours": "2"}), "after drift")
    cluster.drop(f"{path}/shared")
    thing.read("object gone")
    thing.delete()


def _definition() -> Json:
    spec = {"size": {"type": "integer", "minimum": 1}, "colour": {"type": "string", "default": "red"}}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.vectors.example.org"},
        "spec": {
            "group": "vectors.example.org",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [version],
        },
    }


@PLAYS
def custom_resource(stage: Stage) -> None:
    provider, cluster, space = stage.set_up()
    cluster.drop("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.vectors.example.org")

    def widget(size: int, name: str | None = "one") -> Json:
        described = metadata(space, name)
        return {"apiVersion": "vectors.example.org/v1", "kind": "Widget", "metadata": described, "spec": {"size": size}}

    definition = Resource(provider, "apiextensions.k8s.io/v1:CustomResourceDefinition", "widgets")
    thing = Resource(provider, "vectors.example.org/v1:Widget", "one")
    thing.create(widget(1), "before the definition", real=False)
    definition.create(_definition(), "definition", timeout=20)
    cluster.wait("/apis/vectors.example.org/v1")
    thing.create(widget(1))
    thing.update(widget(2))
    thing.diff(widget(2, "two"), "renamed")
    thing.update(widget(0), "below minimum")
    thing.read()
    autonamed = Resource(provider, "vectors.example.org/v1:Widget", "auto")
    autonamed.create(widget(1, None), "autonamed", real=False)
    path = f"/apis/vectors.example.org/v1/namespaces/{space}/widgets/one"
    stage.background(lambda: cluster.release(path))
    thing.delete(timeout=20)
    definition.delete("definition delete", timeout=20)
    thing.read("after the definition")

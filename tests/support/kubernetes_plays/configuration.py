"""Plays about the provider itself: its options, a kubeconfig that is not known or no good."""

from __future__ import annotations

from typing import Any, Final

import yaml
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2 as wire

from lab.engine.kubernetes.values import UNKNOWN_TEXT
from tests.support.kubernetes_plays.resource import Resource
from tests.support.kubernetes_plays.stage import STACK, Plays, Stage, struct
from tests.support.kubernetes_plays.wishes import config_map
from tests.support.vectors import Json

PLAYS: Final = Plays()
#: Nothing listens there: port 1 is privileged, and no service of today uses it.
DEAD: Final = "https://127.0.0.1:1"


def changed_kubeconfig(stage: Stage, name: str, *, server: str = "", token: str = "") -> str:
    """The kubeconfig with another server or token, shown as `<NAME-kubeconfig>`."""
    config: Any = yaml.safe_load(stage.kubeconfig)
    if server:
        config["clusters"][0]["cluster"]["server"] = server
    if token:
        config["users"][0]["user"]["token"] = token
    text = yaml.safe_dump(config)
    stage.placeholders.texts[text] = f"<{name}-kubeconfig>"
    return text


@PLAYS
def configuration(stage: Stage) -> None:
    provider = stage.provider()
    provider.attempt("info", "GetPluginInfo", empty_pb2.Empty())
    urn = f"{STACK}pulumi:providers:kubernetes::provider"
    plain = {"kubeconfig": stage.kubeconfig}

    def diff(step: str, news: Json, olds: Json = plain) -> None:
        was = struct(olds)
        request = wire.DiffRequest(urn=urn, id="provider-id", olds=was, old_inputs=was, news=struct(news))
        provider.attempt(step, "DiffConfig", request)

    other = changed_kubeconfig(stage, "other", server=DEAD)
    diff("same", plain)
    diff("option added", {**plain, "enableConfigMapMutable": "true"})
    diff("namespace added", {**plain, "namespace": "elsewhere"})
    diff("other server", {"kubeconfig": other})
    diff("other token", {"kubeconfig": changed_kubeconfig(stage, "renewed", token="renewed")})
    diff("kubeconfig unknown", {"kubeconfig": UNKNOWN_TEXT})
    identified = {**plain, "clusterIdentifier": "a"}
    diff("identifier kept, other server", {"kubeconfig": other, "clusterIdentifier": "a"}, identified)
    diff("identifier changed", {**plain, "clusterIdentifier": "b"}, identified)


@PLAYS
def kubeconfig_unknown(stage: Stage) -> None:
    """The engine itself never sends this Configure; a stand-in must still not fall over."""
    provider = stage.provider(kubeconfig=UNKNOWN_TEXT)
    thing = Resource(provider, "core/v1:ConfigMap", "settings")
    thing.create(config_map("default", None, {"a": "1"}), real=False)


@PLAYS
def kubeconfig_invalid(stage: Stage) -> None:
    provider = stage.provider(kubeconfig="not a kubeconfig")
    Resource(provider, "core/v1:ConfigMap", "settings").create(config_map("default", None, {"a": "1"}))


@PLAYS
def default_namespace(stage: Stage) -> None:
    """`namespace` of the provider fills in what a resource leaves open."""
    provider, _, _ = stage.set_up(namespace="v-default-namespace")
    thing = Resource(provider, "core/v1:ConfigMap", "settings")
    thing.create({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}})
    thing.delete()


@PLAYS
def unreachable(stage: Stage) -> None:
    """The cluster goes away after the first create."""
    provider, _, space = stage.set_up()
    alive = Resource(provider, "core/v1:ConfigMap", "settings")
    wanted, changed = (config_map(space, "settings", {"a": value}) for value in "12")
    alive.create(wanted)
    dead = changed_kubeconfig(stage, "dead", server=DEAD)
    apart = stage.provider("dead", kubeconfig=dead)
    Resource(apart, "core/v1:ConfigMap", "fresh").create(config_map(space, "fresh", {"a": "1"}))
    thing = alive.moved_to(apart)
    thing.diff(wanted, "same")
    thing.update(changed)
    thing.read()
    thing.delete()
    label = "skipUpdateUnreachable"
    skipping = alive.moved_to(stage.provider(label, kubeconfig=dead, skipUpdateUnreachable="true"))
    skipping.update(changed)
    skipping.read()
    skipping.delete()
    deleting = alive.moved_to(stage.provider("deleteUnreachable", kubeconfig=dead, deleteUnreachable="true"))
    deleting.read()
    deleting.delete()

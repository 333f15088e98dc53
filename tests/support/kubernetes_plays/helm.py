"""Plays of Helm releases of a small local chart."""

from __future__ import annotations

from typing import Any, Final

from lab.engine.kubernetes.values import UNKNOWN_TEXT
from tests.support.kubernetes_plays.configuration import DEAD, changed_kubeconfig
from tests.support.kubernetes_plays.resource import Resource
from tests.support.kubernetes_plays.stage import Plays, Stage
from tests.support.kubernetes_plays.wishes import secret
from tests.support.vectors import Json

PLAYS: Final = Plays()
_RELEASE: Final = "helm.sh/v3:Release"
_TEMPLATE: Final = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: '{{ .Release.Name }}-cm'}
data: {greeting: '{{ required "greeting is needed" .Values.greeting }}'}
"""


def write_chart(stage: Stage) -> str:
    """A chart of one ConfigMap that needs a value."""
    root = stage.folder / "tiny"
    (root / "templates").mkdir(parents=True)
    (root / "Chart.yaml").write_text("apiVersion: v2\nname: tiny\nversion: 0.1.0\nappVersion: '1'\n")
    (root / "values.yaml").write_text("greeting: hi\nnested: {a: 1, b: 2}\n")
    (root / "templates" / "cm.yaml").write_text(_TEMPLATE)
    return str(root)


@PLAYS
def helm_release(stage: Stage) -> None:
    provider, cluster, space = stage.set_up()
    chart = write_chart(stage)

    def wanted(greeting: Any = "hello", name: str | None = "tiny", **more: Any) -> Json:
        named = {"name": name} if name else {}
        values = {"greeting": greeting}
        return {"chart": chart, "namespace": space, "values": values, "compat": "true", **named, **more}

    thing = Resource(provider, _RELEASE, "tiny")
    thing.create(wanted(), timeout=60)
    thing.diff(wanted(), "same")
    thing.diff(wanted(name="other"), "renamed")
    thing.diff({**wanted(), "namespace": "default"}, "other namespace")
    thing.update(wanted("bye"), timeout=60)
    thing.read()
    thing.diff(wanted("bye"), "after read")
    cluster.merge(f"/api/v1/namespaces/{space}/configmaps/tiny-cm", {"data": {"greeting": "hacked"}}, "kubectl")
    thing.read("drift")
    thing.diff(wanted("bye"), "after drift")
    thing.update(wanted(""), "template fails", timeout=60)
    thing.read("after failure")
    thing.update(wanted("again"), "repaired", timeout=60)
    thing.delete(timeout=60)
    thing.read("gone")
    autonamed = Resource(provider, _RELEASE, "auto")
    autonamed.create(wanted(name=None), "autonamed", timeout=60)
    autonamed.delete("autonamed delete", timeout=60)
    Resource(provider, _RELEASE, "unknown").create(wanted(UNKNOWN_TEXT), "unknown value", real=False)
    Resource(provider, _RELEASE, "hidden").create(wanted(secret("s3cret"), "hidden"), "secret value", timeout=60)
    Resource(provider, _RELEASE, "bad").create({**wanted(name="bad"), "chart": f"{chart}/none"}, "no chart", timeout=20)


@PLAYS
def helm_unreachable(stage: Stage) -> None:
    dead = stage.provider("dead", kubeconfig=changed_kubeconfig(stage, "dead", server=DEAD))
    wanted = {"chart": write_chart(stage), "namespace": "default", "name": "tiny", "values": {}, "compat": "true"}
    Resource(dead, _RELEASE, "tiny").create(wanted, timeout=20)

"""Rules over Kubernetes objects: each breaks alone, unknown values are never judged, no message quotes a secret."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from policies.rules.kubernetes import KubernetesObject, check_object, node_ports_unique

DIGEST = "r.example.net/a@sha256:" + "0" * 64
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----"
RELEASE = "kubernetes:helm.sh/v3:Release"
SEED = "0x" + "ab" * 32
POD: dict[str, Any] = {
    "metadata": {"name": "a", "namespace": "chutes"},
    "spec": {"containers": [{"name": "a", "image": DIGEST, "env": [{"name": "PASSWORD_FILE", "value": "/run/x"}]}]},
}


def seen(properties: dict[str, Any], type_: str = "kubernetes:core/v1:Pod", **changes: Any) -> KubernetesObject:
    given: dict[str, Any] = {"type": type_, "name": "a", "provider": "control-cluster", "protected": True}
    return KubernetesObject(properties=properties, **(given | changes))


def pod(**container: Any) -> dict[str, Any]:
    changed = copy.deepcopy(POD)
    changed["spec"]["containers"][0] |= container
    return changed


def names(item: KubernetesObject, *, unprotected: bool = False) -> list[str]:
    return [finding.rule for finding in check_object(item, unprotected_data=unprotected)]


def test_a_good_object_breaks_no_rule() -> None:
    assert names(seen(POD)) == []
    assert names(seen(POD, provider=None, type_="pulumi:providers:kubernetes")) == []


@pytest.mark.parametrize(
    ("item", "rule"),
    [
        (seen(POD, provider=None), "k8s-explicit-provider"),
        (seen(POD, provider="default_4_33_0"), "k8s-explicit-provider"),
        (seen({**POD, "metadata": {"name": "a"}}), "k8s-explicit-provider"),
        (seen(pod(image="postgres:16")), "image-digest"),
        (seen(pod(image="r/a:latest")), "image-digest"),
        (seen({**POD, "spec": {"initContainers": [{"image": "a"}]}}), "image-digest"),
        (seen(pod(args=[SEED])), "secret-shape"),
        (seen(pod(env=[{"name": "MINER_SEED", "value": "x"}])), "secret-shape"),
        (seen(pod(args=["--axon.port", "1"])), "axon-silent"),
        (seen(pod(env=[{"name": "SERVE_AXON", "value": "1"}])), "axon-silent"),
        (seen({**POD, "data": {"k": KEY}}, "kubernetes:core/v1:ConfigMap"), "secret-shape"),
        (seen({**POD, "spec": {"ports": [{"nodePort": 29999.0}]}}, "kubernetes:core/v1:Service"), "nodeport-range"),
        (seen(POD | {"spec": {}}, "kubernetes:core/v1:PersistentVolumeClaim", protected=False), "data-protected"),
        (seen({"namespace": "n", "values": {"image": "a:1"}}, "kubernetes:helm.sh/v3:Release"), "helm-images"),
        (seen({"namespace": "n", "values": {"x": {"repository": "r/a", "tag": "1"}}}, RELEASE), "helm-images"),
        (seen({"values": {}}, "kubernetes:helm.sh/v3:Release"), "k8s-explicit-provider"),
    ],
)  # fmt: skip
def test_each_rule_fails_alone(item: KubernetesObject, rule: str) -> None:
    assert names(item) == [rule]


@pytest.mark.parametrize(
    "item",
    [
        seen(pod(image="r.local/a:in-" + "0" * 32)),
        seen(pod(image="r.local/a:sha256-" + "0" * 64)),
        seen(pod(image=object())),
        seen(pod(env=[{"name": "MINER_SEED", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y"}}}])),
        seen(pod(args=["--taxonomy", "saxony"])),
        seen({"metadata": {"name": "x"}}, "kubernetes:core/v1:Namespace"),
        seen({"metadata": {"namespace": "n"}, "stringData": {"k": SEED}}, "kubernetes:core/v1:Secret"),
        seen(
            {"namespace": "n", "values": {"repository": "r/a", "digest": "sha256:0"}}, "kubernetes:helm.sh/v3:Release"
        ),
        seen({**POD, "spec": {"ports": [{"nodePort": object()}, {}]}}, "kubernetes:core/v1:Service"),
    ],
)
def test_what_is_right_or_unknown_is_let_pass(item: KubernetesObject) -> None:
    assert names(item) == []


def test_data_may_go_unprotected_where_the_stack_allows_it() -> None:
    volume = seen({"metadata": {"name": "x"}}, "kubernetes:core/v1:PersistentVolume", protected=False)
    assert names(volume) == ["data-protected"]
    assert names(volume, unprotected=True) == []


def test_no_message_quotes_what_looks_like_a_secret() -> None:
    (finding,) = check_object(seen(pod(args=[SEED])))
    assert SEED not in str(finding)
    assert "spec.containers[0].args[0]" in str(finding)


def test_a_node_port_is_used_once_on_a_cluster() -> None:
    first = seen({"spec": {"ports": [{"nodePort": 32000}]}}, "kubernetes:core/v1:Service", name="one")
    second = seen({"spec": {"ports": [{"nodePort": 32000}]}}, "kubernetes:core/v1:Service", name="two")
    assert [finding.subject for finding in node_ports_unique([("a", first), ("a", second)])] == ["Service two"]
    assert list(node_ports_unique([("a", first), ("b", second)])) == []

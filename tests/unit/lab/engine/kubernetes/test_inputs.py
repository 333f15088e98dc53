"""Inputs are completed and put into the form in which the server gives them back."""

from __future__ import annotations

from typing import Any

import pytest

from lab.engine.kubernetes.kinds import Urn, is_cluster_wide, replacing_fields
from lab.engine.kubernetes.naming import NameNeededError, NameSource, named, unique_name
from lab.engine.kubernetes.normalize import normalized
from lab.engine.kubernetes.schema import GroupSchemas
from lab.engine.kubernetes.values import Unknown

SOURCE = NameSource("settings", b"seed")
DOCUMENT: dict[str, Any] = {
    "components": {
        "schemas": {
            "Deployment": {
                "x-kubernetes-group-version-kind": [{"group": "apps", "version": "v1", "kind": "Deployment"}],
                "properties": {
                    "apiVersion": {"type": "string"},
                    "kind": {"type": "string"},
                    "metadata": {"allOf": [{"$ref": "#/components/schemas/Meta"}]},
                    "spec": {"$ref": "#/components/schemas/Spec"},
                },
            },
            "Meta": {
                "properties": {
                    "name": {"type": "string"},
                    "labels": {"additionalProperties": {"type": "string"}},
                    "generation": {"type": "integer"},
                }
            },
            "Spec": {
                "required": ["containers"],
                "properties": {
                    "containers": {"type": "array", "items": {"$ref": "#/components/schemas/Container"}},
                    "storageClassName": {"type": "string"},
                    "nodeName": {"type": "string"},
                    "hostNetwork": {"type": "boolean"},
                    "shareProcessNamespace": {"type": "boolean"},
                    "selector": {"$ref": "#/components/schemas/Selector"},
                    "free": {"type": "object"},
                },
            },
            "Selector": {"properties": {"matchLabels": {"additionalProperties": {"type": "string"}}}},
            "Container": {
                "properties": {"cpu": {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity"}}
            },
            "io.k8s.apimachinery.pkg.api.resource.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
        }
    }
}
SCHEMAS = GroupSchemas.of_document(DOCUMENT)


def deployment(spec: dict[str, Any], **metadata: Any) -> dict[str, object]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", **metadata}, "spec": spec}


def test_fields_that_the_kind_has_not_and_empty_optional_ones_are_dropped() -> None:
    wanted = deployment(
        {
            "containers": [],
            "replicaz": 1,
            "nodeName": "",
            "storageClassName": "",
            "hostNetwork": False,
            "shareProcessNamespace": False,
            "selector": {},
            "free": {"any": {"thing": ""}},
        },
        labels={},
        generation=3,
    )
    assert normalized(wanted, SCHEMAS) == deployment(
        {
            "containers": [],
            "storageClassName": "",
            "shareProcessNamespace": False,
            "selector": {},
            "free": {"any": {"thing": ""}},
        }
    )


def test_quantities_become_canonical_also_where_they_are_numbers() -> None:
    wanted = deployment({"containers": [{"cpu": "1000m"}, {"cpu": 2}]})
    assert normalized(wanted, SCHEMAS)["spec"] == {"containers": [{"cpu": "1"}, {"cpu": "2"}]}


def test_with_an_unknown_value_nothing_but_read_only_fields_is_touched() -> None:
    wanted = deployment({"replicaz": Unknown()}, labels={}, uid="1")
    assert normalized(wanted, SCHEMAS) == deployment({"replicaz": Unknown()}, labels={})
    assert normalized({"metadata": Unknown()}, None) == {"metadata": Unknown()}


def test_without_a_cluster_empty_labels_are_dropped_all_the_same() -> None:
    assert normalized(deployment({"a": {}}, labels={}), None) == deployment({"a": {}})


def test_custom_resources_pass_as_they_are() -> None:
    wanted: dict[str, object] = {"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"labels": {}}}
    assert normalized(wanted, SCHEMAS) == wanted


def test_string_data_goes_into_data_and_wins() -> None:
    wanted: dict[str, object] = {"apiVersion": "v1", "kind": "Secret", "metadata": {}}
    filled = {**wanted, "data": {"a": "eA ==\n", "bad": "%"}, "stringData": {"a": "y"}}
    assert normalized(filled, None) == {**wanted, "data": {"a": "eQ==", "bad": "%"}}
    assert normalized({**wanted, "data": {"a": "eA==\n"}}, None) == {**wanted, "data": {"a": "eA=="}}
    odd = {**wanted, "stringData": {"a": 1}}
    assert normalized(odd, None) == odd


def test_definitions_lose_what_the_server_removes() -> None:
    wanted: dict[str, object] = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {},
        "spec": {"preserveUnknownFields": False, "group": "g"},
        "status": {},
    }
    found = normalized(wanted, None)
    assert found["spec"] == {"group": "g"}
    assert "status" not in found


def test_a_made_up_name_is_the_same_for_the_same_seed() -> None:
    first, again = (named({"metadata": {}}, {}, SOURCE) for _ in range(2))
    assert first == again
    assert str(first["metadata"]["name"]).startswith("settings-")  # type: ignore[index]
    assert unique_name("a-", b"") != unique_name("a-", b"")


def test_a_made_up_name_is_kept_and_a_given_one_wins() -> None:
    old = named({"metadata": {}}, {}, SOURCE)
    assert named({"metadata": {}}, old, NameSource("settings", b"other")) == old
    given: dict[str, object] = {"metadata": {"name": "mine"}}
    assert named(given, old, SOURCE) == given
    assert named({"metadata": {"name": Unknown()}}, {}, SOURCE) == {"metadata": {"name": Unknown()}}
    assert named({"metadata": {}}, given, SOURCE) == {"metadata": {}}


def test_the_engine_may_propose_or_forbid_names() -> None:
    proposed = NameSource("a", b"s", proposed="from-engine")
    assert named({"metadata": {}}, {}, proposed)["metadata"]["name"] == "from-engine"  # type: ignore[index]
    with pytest.raises(NameNeededError, match="switched off"):
        named({"metadata": {}}, {}, NameSource("a", b"s", is_disabled=True))
    with pytest.raises(NameNeededError, match="generateName"):
        named({"metadata": {"generateName": "a-"}}, {}, SOURCE)


def test_urns_tell_type_name_and_whether_it_is_a_patch() -> None:
    urn = Urn.parse("urn:pulumi:dev::p::my:mod:Parent$kubernetes:core/v1:NodePatch::gpu::0")
    assert (urn.type, urn.kind, urn.api_version) == ("kubernetes:core/v1:NodePatch", "NodePatch", "v1")
    assert urn.is_patch_of({"kind": "Node"})
    assert not urn.is_patch_of({"kind": "NodePatch"})
    assert Urn.parse("urn:pulumi:d::p::kubernetes:apps/v1:Deployment::w").api_version == "apps/v1"
    with pytest.raises(ValueError, match="no URN"):
        Urn.parse("web")


def test_immutable_data_is_replaced_even_where_mutable_data_is_updated() -> None:
    settings: dict[str, object] = {"apiVersion": "v1", "kind": "ConfigMap"}
    mutable = {"config_map_mutable": True, "secret_mutable": True}
    assert ".data" not in replacing_fields(settings, **mutable)
    assert ".data" in replacing_fields({**settings, "immutable": True}, **mutable)
    assert is_cluster_wide("RuntimeClass")

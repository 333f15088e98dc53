"""The first update takes the create's fields and kubectl's, and nobody else's."""

from __future__ import annotations

from typing import Any

from lab.engine.kubernetes.managers import owns, taken_over, was_only_created


def entry(manager: str, operation: str, fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsV1": fields, **more}


def live(*entries: dict[str, Any]) -> dict[str, object]:
    return {"metadata": {"managedFields": list(entries)}}


def test_fields_of_the_create_and_of_kubectl_are_united_under_the_new_manager() -> None:
    stranger = entry("autoscaler", "Update", {"f:spec": {"f:replicas": {}}})
    status = entry("kubectl-edit", "Update", {"f:status": {}}, subresource="status")
    found = taken_over(
        live(
            entry("pulumi-kubernetes", "Update", {"f:data": {"f:a": {}}}),
            stranger,
            entry("kubectl-edit", "Update", {"f:data": {"f:b": {}}}),
            status,
        ),
        "pulumi-kubernetes-1",
    )
    assert found is not None
    assert found[:2] == [stranger, status]
    ours = found[2]
    assert isinstance(ours, dict)
    assert (ours["manager"], ours["operation"]) == ("pulumi-kubernetes-1", "Apply")
    assert ours["fieldsV1"] == {"f:data": {"f:a": {}, "f:b": {}}}


def test_nothing_is_taken_where_nothing_is_to_take() -> None:
    ours = entry("pulumi-kubernetes-1", "Apply", {"f:data": {}})
    assert taken_over(live(ours, entry("autoscaler", "Update", {})), "pulumi-kubernetes-1") is None
    assert taken_over(live(), "pulumi-kubernetes-1") is None


def test_a_create_without_an_update_is_recognised() -> None:
    assert was_only_created(live(entry("pulumi-kubernetes", "Update", {})))
    assert not was_only_created(live(entry("pulumi-kubernetes-1", "Apply", {})))


def test_owners_are_found_at_any_depth() -> None:
    owned = live(entry("me", "Apply", {"f:spec": {"f:replicas": {}}}), entry("you", "Update", {"f:data": {"f:x": {}}}))
    assert owns(owned, ["spec"], manager="me", others=False)
    assert owns(owned, ["data", "x"], manager="me", others=True)
    assert not owns(owned, ["data"], manager="me", others=False)

"""What the `kubernetes` stand-in does in situations that were not recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2 as wire

from lab.kubernetes.apiserver import LocalApiServer
from tests.support.kubernetes_plays.resource import Resource
from tests.support.kubernetes_plays.stage import Play, Stage, stand_in_stage
from tests.support.kubernetes_plays.wishes import config_map, deployment, metadata, once
from tests.support.vectors import Json

pytestmark = pytest.mark.service

Act = Callable[[Play], dict[str, Json]]
NEVER_READY = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: never}
spec:
  selector: {matchLabels: {app: never}}
  template: {metadata: {labels: {app: never}}, spec: {containers: [{name: app, image: example.org/app}]}}
"""


@pytest.fixture
def act(api_server: LocalApiServer, helm_program: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Act:
    """Acts a play; its answers by step."""

    def acted(play: Play) -> dict[str, Json]:
        case = str(request.node.name).removeprefix("test_").replace("_", "-")[:40].strip("-")
        stage = stand_in_stage(case, api_server.kubeconfig.read_text(), helm_program, tmp_path)
        stage.act(play)
        assert stage.problems == []
        return {line.step: line.answer for line in stage.lines}

    return acted


def kept(answer: Json) -> Json:
    """The state that a partial failure keeps."""
    found: Json = next(entry for entry in answer["error"]["details"] if "ErrorResourceInitFailed" in entry["@type"])
    return found


def test_a_delete_that_a_finalizer_holds_up_keeps_the_object(act: Act) -> None:
    def play(stage: Stage) -> None:
        provider, cluster, space = stage.set_up()
        thing = Resource(provider, "core/v1:ConfigMap", "held")
        thing.create(config_map(space, "held", {}, finalizers=["example.org/hold"]), preview=False)
        thing.delete(timeout=5)
        cluster.merge(f"/api/v1/namespaces/{space}/configmaps/held", {"metadata": {"finalizers": None}})
        thing.delete("again")

    answers = act(play)
    failed = kept(answers["delete: delete"])
    assert failed["properties"]["metadata"]["name"] == "held"
    assert "finalizers hold it: example.org/hold" in failed["reasons"]
    assert answers["again: delete"] == {"response": {}}


def test_a_failed_job_is_not_waited_for_to_the_end(act: Act) -> None:
    def play(stage: Stage) -> None:
        provider, cluster, space = stage.set_up()
        path = f"/apis/batch/v1/namespaces/{space}/jobs/bad"
        moment = "2026-01-01T00:00:00Z"
        failure = {"status": "True", "lastTransitionTime": moment, "reason": "BackoffLimitExceeded", "message": "no"}
        conditions = [{"type": kind, **failure} for kind in ("FailureTarget", "Failed")]
        stage.background(lambda: cluster.status(path, {"startTime": moment, "failed": 1, "conditions": conditions}))
        wanted = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata(space, "bad"),
            "spec": {"template": once()},
        }
        Resource(provider, "batch/v1:Job", "bad").create(wanted, timeout=60, preview=False)

    began = time.monotonic()
    reasons = kept(act(play)["create: real"])["reasons"]
    assert "[BackoffLimitExceeded] no" in reasons
    assert time.monotonic() - began < 50


def test_a_release_whose_objects_are_not_ready_keeps_its_state(act: Act) -> None:
    def play(stage: Stage) -> None:
        provider, _, space = stage.set_up()
        chart = stage.folder / "chart"
        (chart / "templates").mkdir(parents=True)
        (chart / "Chart.yaml").write_text("apiVersion: v2\nname: tiny\nversion: 0.1.0\n")
        (chart / "templates" / "never.yaml").write_text(NEVER_READY)
        thing = Resource(provider, "helm.sh/v3:Release", "never")
        wanted = {"chart": str(chart), "namespace": space, "name": "never", "timeout": 2}
        thing.create(wanted, preview=False)
        thing.update({**wanted, "values": {"a": 1}}, preview=False)
        thing.import_(f"{space}/never")
        thing.delete()
        thing.delete("again")

    answers = act(play)
    created, updated = (kept(answers[step]) for step in ("create: real", "update: real"))
    assert created["properties"]["status"]["status"] == "failed"
    assert created["properties"]["resourceNames"] == {"Deployment.apps/apps/v1": ["never"]}
    assert updated["properties"]["status"]["revision"] == 2
    inputs = answers["import: read"]["response"]["inputs"]
    assert (inputs["name"], inputs["chart"], inputs["version"], inputs["values"]) == (
        "never",
        "tiny",
        "0.1.0",
        {"a": 1},
    )
    assert answers["delete: delete"] == answers["again: delete"] == {"response": {}}


def test_cancel_ends_a_wait_and_what_is_not_served_is_refused(act: Act) -> None:
    def play(stage: Stage) -> None:
        provider, cluster, space = stage.set_up()

        def cancel() -> None:
            cluster.wait(f"/apis/apps/v1/namespaces/{space}/deployments/web")
            provider.attempt("cancel", "Cancel", empty_pb2.Empty())

        stage.background(cancel)
        Resource(provider, "apps/v1:Deployment", "web").create(deployment(space, "web"), timeout=60, preview=False)
        provider.attempt("invoke", "Invoke", wire.InvokeRequest(tok="kubernetes:yaml:decode"))

    began = time.monotonic()
    answers = act(play)
    assert kept(answers["create: real"])["id"].endswith("/web")  # it was created: its state must not be lost
    assert "was cancelled" in answers["create: real"]["error"]["message"]
    assert time.monotonic() - began < 50
    assert answers["invoke"]["error"]["code"] == "UNIMPLEMENTED"
    assert "Invoke" in answers["invoke"]["error"]["message"]


def test_a_patch_whose_object_is_gone_makes_no_new_one(act: Act) -> None:
    left: list[Any] = []

    def play(stage: Stage) -> None:
        provider, cluster, space = stage.set_up()
        path = f"/api/v1/namespaces/{space}/configmaps/shared"
        cluster.call("POST", f"/api/v1/namespaces/{space}/configmaps", {"metadata": {"name": "shared"}})
        thing = Resource(provider, "core/v1:ConfigMapPatch", "ours")
        thing.create(config_map(space, "shared", {"ours": "1"}))
        cluster.drop(path)
        thing.delete()
        left.append(cluster.get(path))

    assert act(play)["delete: delete"] == {"response": {}}
    assert left == [None]


def test_objects_may_be_upserted_and_conflicts_forced_by_option(act: Act) -> None:
    def play(stage: Stage) -> None:
        provider, cluster, space = stage.set_up(upsertExistingObjects="true", enablePatchForce="true")
        path = f"/api/v1/namespaces/{space}/configmaps"
        cluster.call("POST", f"{path}?fieldManager=other", {"metadata": {"name": "there"}, "data": {"a": "old"}})
        thing = Resource(provider, "core/v1:ConfigMap", "there")
        thing.create(config_map(space, "there", {"a": "new"}))
        wanted = config_map(space, "there", {"a": "newer"}, annotations={"pulumi.com/patchFieldManager": "mine"})
        thing.update(wanted)

    answers = act(play)
    assert answers["create: real"]["response"]["properties"]["data"] == {"a": "new"}
    assert answers["update: real"]["response"]["properties"]["__fieldManager"] == "mine"


def test_an_error_of_the_server_is_short(act: Act) -> None:
    def play(stage: Stage) -> None:
        provider, _, space = stage.set_up()
        labels = {f"bad label {index}": "x" for index in range(200)}
        Resource(provider, "core/v1:ConfigMap", "bad").create(config_map(space, "bad", {}, labels=labels))

    message = act(play)["create: real"]["error"]["message"]
    assert "bad label" in message
    assert len(message) < 4096

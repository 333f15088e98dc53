"""A Helm that was killed for real leaves its release pending; recovery frees the name and loses no object."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from infra.cli.releases import free_releases
from infra.spec.releases import GPU_RUNTIME
from lab.engine.toolchain import prepare
from lab.kubernetes.apiserver import LocalApiServer
from tests.support.engine import eventually
from tests.support.kubernetes_plays.cluster import Cluster

pytestmark = pytest.mark.service

SPACE = "stuck-release"
OBJECT = f"/api/v1/namespaces/{SPACE}/configmaps/kept"
TEMPLATE = """apiVersion: v1
kind: ConfigMap
metadata: {name: kept}
---
apiVersion: v1
kind: Pod
metadata: {name: never-ready}
spec: {containers: [{name: a, image: example.org/a:1}]}
"""
Install = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def kubeconfig(api_server: LocalApiServer) -> str:
    document = yaml.safe_load(api_server.kubeconfig.read_text())
    cluster = document["clusters"][0]["cluster"]
    authority = Path(cluster.pop("certificate-authority")).read_bytes()
    cluster["certificate-authority-data"] = base64.b64encode(authority).decode()
    return yaml.safe_dump(document)


@pytest.fixture
def install(api_server: LocalApiServer, tmp_path: Path) -> Install:
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: tiny\nversion: 0.1.0\n")
    (chart / "templates" / "objects.yaml").write_text(TEMPLATE)
    helm = prepare().folder / "helm"

    def start(release: str, *options: str) -> subprocess.Popen[str]:
        command = [str(helm), "install", release, str(chart), "-n", SPACE, "--create-namespace", *options]
        environment = {"KUBECONFIG": str(api_server.kubeconfig), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    return start


def test_a_killed_install_is_recovered_and_the_next_one_takes_over_its_objects(
    api_server: LocalApiServer, kubeconfig: str, install: Install
) -> None:
    cluster = Cluster(api_server.kubeconfig.read_text())
    killed = install(GPU_RUNTIME, "--wait", "--timeout", "120s")
    first = cluster.wait(OBJECT)["metadata"]["uid"]
    killed.kill()
    killed.communicate(timeout=10)
    refused = install(GPU_RUNTIME)
    assert "cannot re-use a name" in refused.communicate(timeout=60)[0]

    [said] = free_releases({"gpu-0": kubeconfig})
    assert said == f"gpu-0: release {GPU_RUNTIME} in {SPACE} (pending-install) will be done anew"
    assert cluster.wait(OBJECT)["metadata"]["uid"] == first, "recovery took an object of the release away"
    again = install(GPU_RUNTIME)
    output = again.communicate(timeout=60)[0]
    assert again.returncode == 0, output
    assert cluster.wait(OBJECT)["metadata"]["uid"] == first
    assert free_releases({"gpu-0": kubeconfig}) == []


def test_a_release_that_is_not_ours_is_left_alone(
    api_server: LocalApiServer, kubeconfig: str, install: Install
) -> None:
    cluster = Cluster(api_server.kubeconfig.read_text())
    theirs = install("theirs", "--wait", "--timeout", "120s", "--namespace", "theirs-release")
    record = "/api/v1/namespaces/theirs-release/secrets/sh.helm.release.v1.theirs.v1"
    assert eventually(lambda: cluster.get(record) is not None)
    theirs.kill()
    theirs.communicate(timeout=10)
    assert free_releases({"gpu-0": kubeconfig}) == []
    assert cluster.get(record) is not None


def test_a_cluster_that_does_not_answer_is_named_and_stops_nothing(kubeconfig: str) -> None:
    document = yaml.safe_load(kubeconfig)
    document["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    [said] = free_releases({"gpu-7": yaml.safe_dump(document)})
    assert said.startswith("gpu-7: its cluster was not asked for pending Helm releases")
    assert said.endswith("run this again once it answers")

"""The real engine runs a program on the `kubernetes` stand-in."""

from __future__ import annotations

import pytest

from lab.kubernetes.apiserver import LocalApiServer
from tests.support.engine import Project, eventually
from tests.support.kubernetes_plays.cluster import Cluster

pytestmark = pytest.mark.service

PROGRAM = """\
import pulumi
import pulumi_kubernetes as k8s

config = pulumi.Config()
space = config.require("space")
provider = k8s.Provider(
    "cluster", kubeconfig=config.require_secret("kubeconfig"), cluster_identifier="a", enable_config_map_mutable=True
)


def options(**more):
    return pulumi.ResourceOptions(provider=provider, **more)


def meta(name, **more):
    return {"name": name, "namespace": namespace.metadata["name"], **more}


namespace = k8s.core.v1.Namespace("space", metadata={"name": space}, opts=options())
k8s.core.v1.Secret("login", metadata=meta("login"), string_data={"password": config.require_secret("password")},
                   opts=options())
settings = k8s.core.v1.ConfigMap("settings", metadata=meta("settings"), data={"size": config.require("size")},
                                 opts=options())
k8s.core.v1.ConfigMap("theirs", metadata=meta("theirs", labels={"size": config.require("size")}),
                      data={"code": "ours"}, opts=options(ignore_changes=["data"]))
k8s.apps.v1.Deployment(
    "web",
    metadata=meta("web", annotations={"pulumi.com/skipAwait": config.get("skip") or "true"}),
    spec={
        "replicas": 1,
        "selector": {"match_labels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"host_network": False, "volumes": [{"name": "tmp", "empty_dir": {}}], "containers": [{
                "name": "app",
                "image": "example.org/app:1",
                "args": [],
                "env": [{"name": "EMPTY", "value": ""}],
                "resources": {"requests": {"cpu": "0.5", "memory": "1024Mi"}, "limits": {"cpu": "1000m"}},
            }]},
        },
    },
    opts=options(),
)
k8s.helm.v3.Release("chart", chart=config.require("chart"), name="chart", namespace=namespace.metadata["name"],
                    values={"greeting": config.require_secret("password")}, opts=options())
pulumi.export("uid", settings.metadata["uid"])
"""
TEMPLATE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: greeting}\ndata: {hello: '{{ .Values.greeting }}'}\n"
PASSWORD = "plain-text-of-the-password"
SETTINGS = "/api/v1/namespaces/{space}/configmaps/settings"


@pytest.fixture
def space(request: pytest.FixtureRequest) -> str:
    return "e-" + str(request.node.name).removeprefix("test_").replace("_", "-")[:40].rstrip("-")


@pytest.fixture
def cluster(api_server: LocalApiServer) -> Cluster:
    return Cluster(api_server.kubeconfig.read_text())


@pytest.fixture
def fleet(project: Project, api_server: LocalApiServer, space: str) -> Project:
    """A project with the program above, configured and not yet run."""
    project.write("__main__.py", PROGRAM)
    project.write("chart/Chart.yaml", "apiVersion: v2\nname: tiny\nversion: 0.1.0\n")
    project.write("chart/templates/one.yaml", TEMPLATE)
    secrets = {"kubeconfig": api_server.kubeconfig.read_text(), "password": PASSWORD}
    plain = {"space": space, "size": "small", "chart": str(project.folder / "chart")}
    for key, value in plain.items():
        project.run("config", "set", key, value)
    for key, value in secrets.items():
        project.run("config", "set", "--secret", key, value)
    return project


def test_a_program_lives_from_create_to_destroy(fleet: Project, cluster: Cluster, space: str) -> None:
    first = fleet.run("up", "--yes", "--skip-preview")
    assert "this is the lab's stand-in" in first.stdout
    assert "+ 8 created" in first.stdout
    secrets = [PASSWORD, cluster.token]
    secrets.append(cluster.wait(f"/api/v1/namespaces/{space}/secrets/login")["data"]["password"])
    unchanged = fleet.run("preview", "--refresh", "--diff", "--expect-no-changes")
    state = "".join(path.read_text() for path in fleet.state.rglob("*.json"))
    assert '"kubernetes:core/v1:Secret"' in state
    assert [secret for secret in secrets if secret in first.stdout + unchanged.stdout + state] == []

    cluster.merge(SETTINGS.format(space=space), {"data": {"size": "huge"}}, "kubectl")
    cluster.merge(f"/api/v1/namespaces/{space}/configmaps/theirs", {"data": {"code": "theirs"}}, "kubectl")
    fleet.run("config", "set", "size", "large")
    changed = fleet.run("up", "--yes", "--skip-preview", "--refresh", "--diff")
    assert '"huge" => "large"' in changed.stdout
    assert "~ 2 updated" in changed.stdout
    assert cluster.wait(SETTINGS.format(space=space))["data"] == {"size": "large"}
    theirs = cluster.wait(f"/api/v1/namespaces/{space}/configmaps/theirs")
    assert (theirs["data"], theirs["metadata"]["labels"]) == ({"code": "theirs"}, {"size": "large"})

    fleet.run("destroy", "--yes", "--skip-preview")
    assert cluster.get(f"/api/v1/namespaces/{space}") is None
    assert eventually(lambda: fleet.processes() == {}), fleet.processes()


def test_a_killed_engine_leaves_no_process_behind(fleet: Project, cluster: Cluster, space: str) -> None:
    fleet.run("config", "set", "skip", "false")  # nothing makes the deployment ready
    engine = fleet.start("up", "--yes", "--skip-preview")
    cluster.wait(f"/apis/apps/v1/namespaces/{space}/deployments/web")
    assert any("lab.engine.kubernetes" in command for command in fleet.processes().values())
    engine.kill()
    engine.communicate(timeout=10)
    assert eventually(lambda: fleet.processes() == {}), fleet.processes()


def test_a_reader_that_goes_away_leaves_no_process_behind(fleet: Project) -> None:
    engine = fleet.start("preview")
    assert engine.stdout is not None
    engine.stdout.readline()
    engine.stdout.close()  # as `pulumi preview | head -1` does
    engine.wait(60)
    assert eventually(lambda: fleet.processes() == {}), fleet.processes()

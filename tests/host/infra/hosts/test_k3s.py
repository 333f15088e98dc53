"""The k3s deploy on a booted machine, with the lab's Kubernetes in k3s's place: a cluster, kept as declared."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.spec import BinarySource, HostSpec, ImageArchive, K3sSpec, Registry, ResultEvent, Verb
from infra.spec.oci import read_image
from lab.kubernetes.artifacts import LAB_SOURCE, host_binds
from lab.kubernetes.image_archive import Image, write_image
from tests.support.lab_fleet import booted_fleet
from tests.support.lab_machine import Machine
from tests.support.oci import stored, tar_of

pytestmark = pytest.mark.host
VERSION = "v1.34.2+headframe-lab"
PRELOADED = f"{LAB_SOURCE}/images/pause.tar"
KUBECTL = "k3s kubectl --kubeconfig /etc/rancher/k3s/k3s.yaml"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine that may have a cluster."""
    with booted_fleet(tmp_path_factory.mktemp("k3s"), ("gpu-0",), host_binds()) as fleet:
        yield Machine.all_of(fleet)[0]


def spec(node: Machine, *, images: tuple[ImageArchive, ...] = (), **changes: object) -> HostSpec:
    k3s: dict[str, object] = {
        "version": VERSION,
        "source": BinarySource(url=f"file://{LAB_SOURCE}/k3s"),
        "node_labels": {"chutes/external-ip": node.address},
        "registries": (Registry(name="example.org", endpoints=("http://127.0.0.1:30500",), insecure=True),),
        "preloaded_images": (PRELOADED,),
        "ready_timeout_seconds": 120,
        **changes,
    }
    return node.spec(k3s=K3sSpec.model_validate(k3s), images=images)


@pytest.fixture(scope="module")
def cluster(node: Machine) -> Machine:
    """The machine with a cluster."""
    node.apply(spec(node))
    return node


def get(kubeconfig: str, path: str, folder: Path) -> Any:
    """Ask the API server from outside, with what the kubeconfig holds."""
    config = yaml.safe_load(kubeconfig)
    server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    pem = folder / "client.pem"
    pem.write_bytes(b"".join(base64.b64decode(user[f"client-{kind}-data"]) for kind in ("certificate", "key")))
    context = ssl.create_default_context(cadata=base64.b64decode(server["certificate-authority-data"]).decode())
    context.load_cert_chain(pem)
    with urllib.request.urlopen(f"{server['server']}{path}", context=context, timeout=10) as answer:
        return json.load(answer)


def kubeconfig_of(machine: Machine, wanted: HostSpec) -> str:
    _, events = machine.run(Verb.PLAN, wanted)
    result = events[-1]
    assert isinstance(result, ResultEvent)
    assert result.kubeconfig is not None
    return result.kubeconfig.get_secret_value()


def test_a_cluster_is_made_and_a_second_plan_is_empty(cluster: Machine) -> None:
    assert cluster.plan(spec(cluster)) == ()
    assert "Ready" in cluster.ssh(f"{KUBECTL} get nodes --no-headers")
    assert cluster.ssh("stat -c %a /etc/rancher/k3s/k3s.yaml /etc/rancher/k3s/registries.yaml") == "600\n600"


def test_the_kubeconfig_works_from_outside_by_the_public_address(cluster: Machine, tmp_path: Path) -> None:
    nodes = get(kubeconfig_of(cluster, spec(cluster)), "/api/v1/nodes", tmp_path)["items"]
    assert [node["metadata"]["name"] for node in nodes] == ["gpu-0"]
    assert nodes[0]["metadata"]["labels"]["chutes/external-ip"] == cluster.address


@pytest.mark.parametrize(
    ("damage", "operations"),
    [
        (
            "echo '# edited' >> /etc/rancher/k3s/config.yaml",
            ("k3s | config.yaml", "k3s | service runs with these settings"),
        ),
        (
            "rm /etc/rancher/k3s/registries.yaml",
            ("k3s | registries.yaml", "k3s | service runs with these settings"),
        ),
        (
            "echo '# edited' >> /etc/systemd/system/k3s.service",
            ("k3s | unit", "k3s | service runs with these settings"),
        ),
        (
            "rm /var/lib/rancher/k3s/agent/images/pause.tar",
            (f"k3s | preloaded images {PRELOADED}", "k3s | service runs with these settings"),
        ),
        (
            "t=$(mktemp); printf '#!/bin/sh\\necho k3s version v0.0.1\\n' > $t; chmod 755 $t; mv $t /usr/local/bin/k3s",
            (
                f"k3s | binary {VERSION}",
                "k3s | service runs with these settings",
                "k3s | node is Ready",
                "k3s | node labels",
            ),
        ),
        ("systemctl disable -q k3s", ("k3s | service runs with these settings",)),
        (f"{KUBECTL} label node gpu-0 chutes/external-ip-", ("k3s | node labels",)),
    ],
)
def test_drift_is_named_and_repaired(cluster: Machine, damage: str, operations: tuple[str, ...]) -> None:
    cluster.ssh(damage)
    assert cluster.plan(spec(cluster)) == operations
    cluster.apply(spec(cluster))
    assert cluster.plan(spec(cluster)) == ()


def test_a_stopped_service_is_started_again(cluster: Machine) -> None:
    cluster.ssh("systemctl stop k3s")
    assert "k3s | service runs with these settings" in cluster.plan(spec(cluster))
    cluster.apply(spec(cluster))
    assert cluster.plan(spec(cluster)) == ()


def test_an_image_is_imported_once(cluster: Machine, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    write_image(Image("localhost/headframe-test:1", {"/hello": Path("/etc/hostname")}, entrypoint=["/hello"]), archive)
    wanted = spec(cluster, images=(ImageArchive(reference="localhost/headframe-test:1", path=str(archive)),))
    assert cluster.apply(wanted) == ("k3s | image localhost/headframe-test:1",)
    assert cluster.plan(wanted) == ()
    assert cluster.ssh("ls /var/lib/headframe/uploads") == ""
    cluster.ssh("CONTAINERD_NAMESPACE=k8s.io k3s ctr images rm localhost/headframe-test:1")
    assert cluster.plan(wanted) == ("k3s | image localhost/headframe-test:1",)


def test_a_machine_receives_of_an_image_what_it_lacks(cluster: Machine, tmp_path: Path) -> None:
    base, names = tar_of({"base": os.urandom(1 << 20)}), ("localhost/headframe-first:1", "localhost/headframe-second:1")
    indexes = [stored(tmp_path, name, (base, tar_of({"own": name.encode()}))) for name in names]
    images = tuple(ImageArchive(reference=name, path=str(index)) for name, index in zip(names, indexes, strict=True))
    assert cluster.apply(spec(cluster, images=images[:1])) == (f"k3s | image {names[0]}",)
    read_image(indexes[1]).path(read_image(indexes[1]).layers[0]).write_bytes(b"x" * len(base))  # must not be sent
    assert cluster.apply(spec(cluster, images=images)) == (f"k3s | image {names[1]}",)
    assert cluster.plan(spec(cluster, images=images)) == ()
    checked = cluster.ssh("k3s ctr images check -q")
    assert set(names) <= set(checked.split())
    assert cluster.ssh("ls /var/lib/headframe/uploads") == ""


def test_another_version_than_the_source_holds_is_refused_and_the_old_one_stays(cluster: Machine) -> None:
    refusal = cluster.refusal(spec(cluster, version="v9.9.9+k3s1"))
    assert f"is k3s {VERSION}, wanted v9.9.9+k3s1" in refusal.message
    assert VERSION in cluster.ssh("k3s --version")


def test_a_runner_killed_in_the_middle_is_repaired_by_the_next_run(cluster: Machine) -> None:
    wanted = spec(cluster, tls_sans=("gpu-0.example.org",))
    child = subprocess.Popen(
        [sys.executable, "-m", "infra.hosts", "apply"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdin, child.stdout:
        child.stdin.write(f"{wanted.to_json()}\n".encode())
        child.stdin.flush()
        while b"service runs with these settings" not in (line := child.stdout.readline()) or b'"op"' not in line:
            assert child.poll() is None
        child.kill()
        child.wait(10)
    cluster.apply(wanted)
    assert cluster.plan(wanted) == ()
    assert "gpu-0.example.org" in cluster.ssh(
        f"openssl s_client -connect {cluster.address}:6443 </dev/null 2>/dev/null | openssl x509 -noout -text"
    )


def test_leaving_ends_pods_and_removes_secrets_and_a_return_finds_its_data(cluster: Machine) -> None:
    cluster.ssh(f"{KUBECTL} create configmap kept --from-literal=a=b")
    status, _ = cluster.run(Verb.STOP, spec(cluster))
    assert status == 0
    assert cluster.ssh("systemctl is-active k3s || true") in {"inactive", "failed"}
    assert cluster.ssh("ls /etc/rancher/k3s; pgrep -c containerd-shim; true") == "config.yaml\n0"
    cluster.apply(spec(cluster))
    assert cluster.ssh(f"{KUBECTL} get configmap kept -o name") == "configmap/kept"
    assert cluster.plan(spec(cluster)) == ()


def test_wiping_leaves_nothing_of_the_cluster(cluster: Machine) -> None:
    status, events = cluster.run(Verb.WIPE, spec(cluster))
    assert status == 0, events[-1]
    assert cluster.ssh("ls -A /var/lib/rancher/k3s /etc/rancher /usr/local/bin/k3s 2>/dev/null; true") == ""
    cluster.apply(spec(cluster))
    assert cluster.plan(spec(cluster)) == ()

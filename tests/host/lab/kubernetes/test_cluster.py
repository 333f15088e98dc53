"""The lab's Kubernetes on a lab host: a real kubelet runs real pods, as on a server with k3s."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from lab.hosts.fleet import LabFleet
from tests.support.lab_kubernetes import BUSYBOX, HOST, apply, eventually, from_pod, kubectl, pod, ready, sleeper

pytestmark = pytest.mark.host


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="module")
def web(cluster: LabFleet) -> LabFleet:
    """A web server behind a service with node port 30777."""
    serve = ["sh", "-c", "mkdir /w && echo hello > /w/index.html && exec httpd -f -p 8080 -h /w"]
    spec = {
        "type": "NodePort",
        "selector": {"app": "web"},
        "ports": [{"port": 80, "targetPort": 8080, "nodePort": 30777}],
    }
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}
    apply(cluster, HOST, pod("web", BUSYBOX, serve), sleeper("client"), service)
    ready(cluster, "web")
    ready(cluster, "client")
    return cluster


def test_it_says_that_it_is_not_k3s(cluster: LabFleet) -> None:
    said = cluster.ssh(HOST, "k3s --version")
    assert said.split()[2] == "v1.34.2+headframe-lab"
    assert "this is not k3s" in said


def test_its_ctr_means_the_clusters_images_and_takes_a_namespace(cluster: LabFleet) -> None:
    images = cluster.ssh(HOST, "k3s ctr images ls -q")
    assert BUSYBOX in images
    assert "headframe.lab/pause:1" in images
    assert cluster.ssh(HOST, "k3s ctr --namespace k8s.io images ls -q") == images


def test_the_node_has_the_addresses_labels_and_capacity_that_were_declared(cluster: LabFleet) -> None:
    address = cluster.hosts[0].address
    path = "{.status.addresses[?(@.type=='ExternalIP')].address} {.metadata.labels.chutes/external-ip}"
    assert kubectl(cluster, f'get node {HOST} -o jsonpath="{path}"').split() == [address] * 2
    kinds = kubectl(cluster, f"get node {HOST} -o jsonpath='{{.metadata.labels.node\\.kubernetes\\.io/instance-type}}'")
    assert kinds == "k3s"
    memory = kubectl(cluster, f"get node {HOST} -o jsonpath='{{.status.allocatable.memory}}'")
    assert int(memory.removesuffix("Ki")) <= cluster.hosts[0].memory_mib * 1024


def test_the_administrators_kubeconfig_is_root_s_alone(cluster: LabFleet) -> None:
    assert cluster.ssh(HOST, "stat -c %a /etc/rancher/k3s/k3s.yaml").strip() == "600"


def test_a_pod_resolves_and_reaches_a_service_by_name(web: LabFleet) -> None:
    kubectl(web, "-n kube-system rollout status deployment/coredns --timeout=60s", 70)
    answer = kubectl(web, "exec client -- nslookup web.default.svc.cluster.local")
    address = answer.split("Address: ")[-1].strip()
    assert address == kubectl(web, "get service web -o jsonpath='{.spec.clusterIP}'")
    assert from_pod(web, "client", f"http://{address}/") == "hello"


def test_a_node_port_answers_from_outside(web: LabFleet) -> None:
    assert eventually(lambda: answers(f"http://{web.hosts[0].address}:30777/"))


def test_a_restart_keeps_the_containers(web: LabFleet) -> None:
    containers = "get pods web client -o jsonpath='{.items[*].status.containerStatuses[0].containerID}'"
    before = kubectl(web, containers)
    web.ssh(HOST, "systemctl restart k3s", 120)
    assert eventually(lambda: answers(f"http://{web.hosts[0].address}:30777/"))
    kubectl(web, f"wait --for=condition=Ready node/{HOST} --timeout=60s", 70)
    assert kubectl(web, containers) == before


def test_it_stops_in_time_though_pods_of_its_own_watch_it(web: LabFleet) -> None:
    """CoreDNS does. systemd kills what takes more than eight seconds here, and calls that result a timeout."""
    web.ssh(HOST, "systemctl stop k3s", 60)
    try:
        assert web.ssh(HOST, "systemctl show --property Result --value k3s").strip() == "success"
    finally:
        web.ssh(HOST, "systemctl start k3s", 120)


def test_a_killed_server_comes_back_without_its_pods_noticing(web: LabFleet) -> None:
    containers = "get pods web client -o jsonpath='{.items[*].status.containerStatuses[0].containerID}'"
    before = kubectl(web, containers)
    parts = web.ssh(HOST, "pgrep -f '^/usr/local/bin/k3s kube|^etcd|^containerd ' | sort").split()
    assert len(parts) >= 6
    web.ssh(HOST, "systemctl kill --signal=KILL --kill-whom=main k3s")
    assert eventually(lambda: web.ssh(HOST, "systemctl is-active k3s || true").strip() == "active", 60)
    assert not set(parts) & set(web.ssh(HOST, "pgrep -f '^/usr/local/bin/k3s kube|^etcd|^containerd '").split())
    kubectl(web, f"wait --for=condition=Ready node/{HOST} --timeout=60s", 70)
    assert kubectl(web, containers) == before


def test_a_renewed_certificate_is_trusted_with_the_old_authority(web: LabFleet) -> None:
    serial = "openssl x509 -noout -serial -in /var/lib/rancher/k3s/server/tls/serving-kube-apiserver.crt"
    before = web.ssh(HOST, f"cp /etc/rancher/k3s/k3s.yaml /root/old.yaml && {serial}")
    web.ssh(HOST, "k3s certificate rotate && systemctl restart k3s", 120)
    assert web.ssh(HOST, serial) != before
    assert HOST in kubectl(web, "--kubeconfig /root/old.yaml get nodes")
    assert web.ssh(HOST, "cmp -s /root/old.yaml /etc/rancher/k3s/k3s.yaml || echo renewed").strip() == "renewed"


def test_the_nvidia_runtime_class_runs_a_pod(cluster: LabFleet) -> None:
    done = pod("nvidia", BUSYBOX, ["true"], runtimeClassName="nvidia", restartPolicy="Never")
    apply(cluster, HOST, done)
    waited = kubectl(cluster, "wait --for=jsonpath='{.status.phase}'=Succeeded pod/nvidia --timeout=40s")
    assert waited == "pod/nvidia condition met"


def test_pods_come_back_after_a_reboot_of_the_host(web: LabFleet) -> None:
    before = kubectl(web, f"get node {HOST} -o jsonpath='{{.status.nodeInfo.bootID}}'")
    web.ssh(HOST, "echo marker > /run/before && systemctl reboot")
    assert eventually(lambda: not answers(f"http://{web.hosts[0].address}:30777/"))
    assert eventually(lambda: answers(f"http://{web.hosts[0].address}:30777/"), 90)
    assert before
    assert web.ssh(HOST, "ls /run/before || echo gone").strip() == "gone"

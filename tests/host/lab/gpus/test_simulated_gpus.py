"""The chart makes a node offer GPUs that do not exist, marked as such, and pods get them as they would real ones."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from lab.builds.go import build
from lab.engine.releases import helm
from lab.gpus.models import MODELS_FILE
from lab.hosts.fleet import LabFleet
from tests.support.lab_kubernetes import BUSYBOX, HOST, apply, eventually, kubeconfig, kubectl, pod, ready

pytestmark = pytest.mark.host
CHART = MODELS_FILE.parent.parent


def install(fleet: LabFleet, config: Path, count: int) -> None:
    command = [str(build(helm().module)), "upgrade", "--install", "gpu-runtime", str(CHART)]
    command += ["--namespace", "gpu-operator", "--create-namespace", "--wait", "--timeout", "60s"]
    command += ["--set-string", "model=4090", "--set", f"count={count}"]
    environment = {**os.environ, "KUBECONFIG": str(config)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 0, done.stderr


def allocatable(fleet: LabFleet) -> str:
    return kubectl(fleet, f"get node {HOST} -o jsonpath='{{.status.allocatable.nvidia\\.com/gpu}}'")


@pytest.fixture(scope="module")
def gpus(cluster: LabFleet) -> LabFleet:
    install(cluster, kubeconfig(cluster, HOST), 2)
    assert eventually(lambda: allocatable(cluster) == "2")
    return cluster


def test_the_node_is_labelled_like_a_real_one_and_says_simulated(gpus: LabFleet) -> None:
    labels = json.loads(kubectl(gpus, f"get node {HOST} -o jsonpath='{{.metadata.labels}}'"))
    assert labels["nvidia.com/gpu.count"] == "2"
    assert labels["nvidia.com/gpu.memory"] == "24576"
    assert labels["nvidia.com/gpu.product"] == "SIMULATED-NVIDIA-GeForce-RTX-4090"
    assert labels["headframe/simulated"] == "true"


def test_a_pod_gets_the_devices_it_asked_for_and_one_too_many_waits(gpus: LabFleet) -> None:
    def asking(name: str) -> dict[str, object]:
        return pod(name, BUSYBOX, ["sleep", "1000"], resources={"limits": {"nvidia.com/gpu": 1}})

    apply(gpus, HOST, asking("gpu-a"), asking("gpu-b"))
    ready(gpus, "gpu-a", "gpu-b")
    seen = {kubectl(gpus, f"exec {name} -- sh -c 'echo $NVIDIA_VISIBLE_DEVICES'") for name in ("gpu-a", "gpu-b")}
    assert len(seen) == 2
    assert all(device.startswith("GPU-SIMULATED-") for device in seen)
    apply(gpus, HOST, asking("gpu-c"))
    waits = "get pod gpu-c -o jsonpath='{.status.conditions[0].message}'"
    assert eventually(lambda: "Insufficient nvidia.com/gpu" in kubectl(gpus, waits))
    kubectl(gpus, "delete pod gpu-a gpu-b gpu-c")


def test_a_device_that_a_test_fails_is_no_longer_offered(gpus: LabFleet) -> None:
    gpus.ssh(HOST, "echo 1 > /run/headframe-lab/unhealthy-gpus")
    assert eventually(lambda: allocatable(gpus) == "1")
    gpus.ssh(HOST, "rm /run/headframe-lab/unhealthy-gpus")
    assert eventually(lambda: allocatable(gpus) == "2")


def test_devices_are_offered_again_after_a_restart_of_the_kubelet(gpus: LabFleet) -> None:
    gpus.ssh(HOST, "systemctl restart k3s", 120)
    assert eventually(lambda: allocatable(gpus) == "2", 60)


def test_another_count_is_an_upgrade(gpus: LabFleet) -> None:
    install(gpus, kubeconfig(gpus, HOST), 3)
    assert eventually(lambda: allocatable(gpus) == "3")

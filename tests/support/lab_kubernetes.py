"""Installs the lab's Kubernetes on a lab host the way k3s's installer does, for tests that are not about the deploy."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from lab.hosts.fleet import LabFleet
from lab.kubernetes.artifacts import LAB_SOURCE
from lab.kubernetes.image_archive import Image, write_image

#: Host of the cluster that tests share, and the image in it.
HOST: Final = "k"
BUSYBOX: Final = "headframe.lab/busybox:1"
_UNIT = """\
[Unit]
Description=Lightweight Kubernetes
Wants=network-online.target
After=network.target
[Service]
Type=notify
KillMode=process
Delegate=yes
LimitNOFILE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s
ExecStart=/usr/local/bin/k3s server --tls-san {address}
[Install]
WantedBy=multi-user.target
"""
_CONFIG = """\
write-kubeconfig-mode: "0600"
disable: [traefik, servicelb]
node-name: {name}
node-ip: {address}
node-external-ip: {address}
node-label: ["chutes/external-ip={address}"]
"""


def install_kubernetes(fleet: LabFleet, name: str, more_configuration: str = "") -> None:
    """Install and start Kubernetes on one host and wait until its node is Ready."""
    address = next(host.address for host in fleet.hosts if host.name == name)
    unit = _UNIT.format(address=address)
    config = _CONFIG.format(address=address, name=name) + more_configuration
    fleet.ssh(
        name,
        f"""set -eu
        install -m 755 {LAB_SOURCE}/k3s /usr/local/bin/k3s && ln -sf k3s /usr/local/bin/kubectl
        mkdir -p /etc/rancher/k3s
        cat > /etc/rancher/k3s/config.yaml <<'CONFIG'\n{config}\nCONFIG
        cat > /etc/systemd/system/k3s.service <<'UNIT'\n{unit}\nUNIT
        systemctl daemon-reload && systemctl enable -q k3s && systemctl start k3s || journalctl -u k3s -n 30 --no-pager
        until kubectl get node {name} 2>/dev/null; do sleep 0.3; done
        kubectl wait --for=condition=Ready node/{name} --timeout=90s
        kubectl wait --for=create serviceaccount/default --timeout=30s""",
        timeout_seconds=150,
    )


def import_busybox(fleet: LabFleet, name: str) -> None:
    """Load BUSYBOX, an image made of the host's own static busybox, into its cluster."""
    root = fleet.folder / "disks" / name / "root"
    program = root / "usr/bin/busybox"
    applets = subprocess.run([program, "--list"], capture_output=True, text=True, check=True, timeout=10).stdout.split()
    links = {f"/bin/{applet}": "busybox" for applet in applets if applet != "busybox"}
    archive = fleet.folder / f"busybox-{name}.tar"
    write_image(Image(BUSYBOX, {"/bin/busybox": program}, command=["sh"], links=links), archive)
    shutil.copy(archive, root / "root" / "busybox.tar")
    fleet.ssh(name, "k3s ctr images import /root/busybox.tar")


def apply(fleet: LabFleet, name: str, *manifests: dict[str, Any]) -> None:
    """Apply manifests to one host's cluster."""
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    fleet.ssh(name, f"kubectl apply -f - <<'ITEMS'\n{items}\nITEMS")


def pod(name: str, image: str, command: list[str], **spec: Any) -> dict[str, Any]:
    """A pod with one container, labelled app=NAME."""
    resources = spec.pop("resources", {})
    container = {"name": "main", "image": image, "imagePullPolicy": "Never", "command": command, "resources": resources}
    body = {"terminationGracePeriodSeconds": 0, "containers": [container], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": body}


def sleeper(name: str) -> dict[str, Any]:
    """A pod that does nothing, for `from_pod`."""
    return pod(name, BUSYBOX, ["sh", "-c", f"sleep 100000; : {name}"])


def kubectl(fleet: LabFleet, command: str, timeout_seconds: float = 60) -> str:
    """Output of kubectl on the shared cluster's host."""
    return fleet.ssh(HOST, f"kubectl {command}", timeout_seconds).strip()


def ready(fleet: LabFleet, *names: str) -> None:
    """Wait until pods are Ready."""
    wanted = " ".join(f"pod/{name}" for name in names)
    diagnosis = "kubectl get pods -A -o wide; kubectl get events | tail -n 20; journalctl -u k3s -n 20 --no-pager"
    said = fleet.ssh(HOST, f"kubectl wait --for=condition=Ready {wanted} --timeout=90s 2>&1 || ({diagnosis})", 120)
    assert said.count("condition met") == len(names), said


def from_pod(fleet: LabFleet, name: str, url: str) -> str:
    """What curl of the host gets in the network of a pod that sleeps; "" where nothing answers in 2 s.

    The pod's static busybox cannot be asked: its wget ends with a fault without libc's resolver libraries.
    """
    pid = f"$(pgrep -f 'sleep 100000.*{name}' | head -n 1)"
    return fleet.ssh(HOST, f"nsenter -t {pid} -n curl -s -m 2 {url} || true").strip()


def kubeconfig(fleet: LabFleet, name: str) -> Path:
    """The administrator's kubeconfig of one host's cluster (mode 0600), for clients on this machine."""
    address = next(host.address for host in fleet.hosts if host.name == name)
    path = fleet.folder / f"{name}.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(fleet.ssh(name, "cat /etc/rancher/k3s/k3s.yaml").replace("127.0.0.1", address))
    return path


def eventually(holds: Callable[[], bool], seconds: float = 40.0) -> bool:
    """Whether something becomes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.3)
    return holds()

"""When a node counts as Ready: the shell condition itself, run with stand-ins for kubectl and systemd."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.hosts.operations.k3s import KUBECTL, is_ready
from infra.hosts.paths import K3S_KUBECONFIG

NOW = datetime.now(UTC).replace(microsecond=0)


def holds(
    folder: Path, status: str, reported: datetime, started: datetime, *, answers: bool = True, job: str = ""
) -> bool:
    """Run the condition on a cluster that says this of its node, of a k3s that was started then; `job` is what systemd
    still has to do with it."""
    kubeconfig, kubectl, systemctl = folder / "k3s.yaml", folder / "kubectl", folder / "systemctl"
    kubeconfig.write_text("clusters: []")
    node = f'printf "{status} {reported:%Y-%m-%dT%H:%M:%SZ}"'
    kubectl.write_text(f'#!/bin/sh\ncase "$2" in --raw) exit {0 if answers else 1} ;; *) {node} ;; esac\n')
    start = f"{started:%a %Y-%m-%d %H:%M:%S} UTC"
    systemctl.write_text(f'#!/bin/sh\ncase "$3" in Job) echo "{job}" ;; *) echo "{start}" ;; esac\n')
    for program in (kubectl, systemctl):
        program.chmod(0o755)
    script = is_ready("gpu-0").replace(KUBECTL, str(kubectl)).replace(K3S_KUBECONFIG, str(kubeconfig))
    script = script.replace("systemctl", str(systemctl))
    return subprocess.run(["sh", "-c", script], check=False, timeout=20).returncode == 0


@pytest.mark.parametrize(
    ("status", "reported", "started", "answers", "expected"),
    [
        ("True", NOW, NOW - timedelta(seconds=30), True, True),
        ("False", NOW, NOW - timedelta(seconds=30), True, False),
        ("True", NOW, NOW - timedelta(seconds=30), False, False),
        ("True", NOW - timedelta(seconds=40), NOW - timedelta(seconds=30), True, False),
        ("True", NOW, NOW + timedelta(hours=2), True, True),
    ],
    ids=[
        "said since the start",
        "said not to be",
        "a cluster that does not answer",
        "said before the restart only",
        "a start that lies in the future says nothing",
    ],
)
def test_a_node_is_ready_by_a_report_of_the_kubelet_that_runs_now(
    tmp_path: Path, status: str, reported: datetime, started: datetime, answers: bool, expected: bool
) -> None:
    assert holds(tmp_path, status, reported, started, answers=answers) is expected


def test_a_node_whose_k3s_is_about_to_be_restarted_is_not_ready(tmp_path: Path) -> None:
    started = NOW - timedelta(hours=1)
    assert holds(tmp_path, "True", NOW, started, job="Job=0")
    assert not holds(tmp_path, "True", NOW, started, job="Job=1187")


def test_a_node_without_a_cluster_is_not_ready(tmp_path: Path) -> None:
    script = is_ready("gpu-0").replace(K3S_KUBECONFIG, str(tmp_path / "none.yaml"))
    assert subprocess.run(["sh", "-c", script], check=False, timeout=20).returncode != 0

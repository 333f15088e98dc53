"""Rules and alerts, judged by Debian's promtool: syntax, what they give, and how much leaves a node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.dashboards import grafana

RULES = Path(grafana.__file__).parent / "rules"
CASES = Path(__file__).parent
#: As many GPUs and chutes as one node can have, each chute with three functions and three statuses.
GPUS, CHUTES, FUNCTIONS, STATUSES = 16, 16, 3, ("200", "429", "500")
FEDERATED_SERIES = 300

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed: apt-get install prometheus"
)


def promtool(*arguments: str) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("file", ["node.yaml", "fleet.yaml", "alerts.yaml"])
def test_rules_are_well_formed(file: str) -> None:
    assert "SUCCESS" in promtool("check", "rules", str(RULES / file))


@pytest.mark.parametrize("case", ["alerts", "recording"])
def test_rules_give_what_they_promise(case: str, tmp_path: Path) -> None:
    document = yaml.safe_load((CASES / f"{case}.promtool.yaml").read_text())
    document["rule_files"] = [str(RULES / name) for name in document["rule_files"]]
    path = tmp_path / "case.yaml"
    path.write_text(yaml.safe_dump(document))
    assert "SUCCESS" in promtool("test", "rules", str(path))


def test_a_full_node_sends_at_most_300_series(tmp_path: Path) -> None:
    matches = yaml.safe_load((RULES / "federation.yaml").read_text())["match"]
    wanted = " or ".join(f"({match})" for match in matches)
    samples = [{"labels": "{}", "value": 1}]
    case = {
        "rule_files": [str(RULES / "node.yaml")],
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "30s",
                "input_series": worst_node(),
                "promql_expr_test": [
                    {"expr": f"count({wanted}) <= bool {FEDERATED_SERIES}", "eval_time": "10m", "exp_samples": samples},
                    {"expr": f"count({wanted}) > bool 200", "eval_time": "10m", "exp_samples": samples},
                ],
            }
        ],
    }
    path = tmp_path / "case.yaml"
    path.write_text(yaml.safe_dump(case))
    assert "SUCCESS" in promtool("test", "rules", str(path))


def worst_node() -> list[dict[str, Any]]:
    """Everything that a node with all its places taken shows to its own Prometheus."""
    names = gpu_series() + machine_series() + agent_series() + chute_series() + [f'up{{job="j{n}"}}' for n in range(12)]
    return [{"series": name, "values": "1+1x30"} for name in names]


def gpu_series() -> list[str]:
    gpu = ("GPU_UTIL", "FB_USED", "FB_FREE", "GPU_TEMP", "POWER_USAGE", "XID_ERRORS")
    return [f'DCGM_FI_DEV_{name}{{gpu="{n}",UUID="u{n}",modelName="m"}}' for name in gpu for n in range(GPUS)]


def machine_series() -> list[str]:
    names = [f'node_cpu_seconds_total{{cpu="{n}",mode="{mode}"}}' for n in range(256) for mode in ("idle", "user")]
    names += [
        f'node_filesystem_{kind}_bytes{{mountpoint="{place}",fstype="ext4"}}'
        for kind in ("avail", "size")
        for place in ("/", "/var/snap", "/boot")
    ]
    names += ["node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes", "node_load1", "node_boot_time_seconds"]
    names += [
        f'node_network_{way}_bytes_total{{device="{device}"}}'
        for way in ("receive", "transmit")
        for device in ("lo", "eth0", "eth1", *(f"veth{n}" for n in range(40)))
    ]
    return names


def agent_series() -> list[str]:
    states = ("stopped", "starting", "running", "degraded", "error")
    names = [f'headframe_agent_state{{state="{state}"}}' for state in states]
    return [*names, "headframe_agent_queue_depth", "headframe_agent_kubeconfig_expiry_seconds"]


def chute_series() -> list[str]:
    return [
        f'{metric}{{chutes_deployment_id="d{n}",chute_id="c{n}",function="f{f}",status="{status}"}}'
        for metric in ("invocation_total", "invocation_duration_sum")
        for n in range(CHUTES)
        for f in range(FUNCTIONS)
        for status in STATUSES
    ]

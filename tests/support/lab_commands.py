"""What an operator types against the lab's fleet: `headframe`, kubectl on a machine, a job that runs now."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote

from app.protocol.labels import CHUTES_NAMESPACE, MONITORING_NAMESPACE
from app.protocol.ports import ClusterPort
from lab.fleet.engine import CLONE
from lab.fleet.hotkey import hotkey_file
from tests.support.lab import Lab

T = TypeVar("T")

_HEADFRAME_SECONDS: Final = 900.0
_JOB_SECONDS: Final = 300
#: A scrape, an evaluation and a federation come every half minute each; then room for a busy machine.
_FIGURES_SECONDS: Final = 240.0
_LOOK_SECONDS: Final = 2.0


def headframe(lab: Lab, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Standard output of `headframe` on the lab's stack, as the lab's own miner.

    Raises:
        AssertionError: it ended badly; with all that it said.
    """
    own = {"HOTKEY": str(hotkey_file(lab.engine.state))}
    done = subprocess.run(
        [sys.executable, "-m", "infra.cli", *arguments],
        cwd=CLONE,
        env=lab.engine.environment | own | dict(environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_HEADFRAME_SECONDS,
    )
    assert done.returncode == 0, f"headframe {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


def kubectl(lab: Lab, machine: str, command: str, timeout_seconds: float = 60.0) -> str:
    """Standard output of kubectl on one machine, in the namespace of chutes."""
    return lab.fleet.ssh(machine, f"k3s kubectl -n {CHUTES_NAMESPACE} {command}", timeout_seconds)


def apply(lab: Lab, machine: str, manifest: Mapping[str, Any]) -> None:
    """Apply one object in the namespace of chutes."""
    packed = b64encode(json.dumps(manifest).encode()).decode()
    lab.fleet.ssh(machine, f"echo {packed} | base64 -d | k3s kubectl -n {CHUTES_NAMESPACE} apply -f -")


def run_now(lab: Lab, machine: str, cronjob: str) -> str:
    """Run a CronJob's Job now and wait for its end: its log.

    Raises:
        CommandError: it did not end well in time; with its log.
    """
    name = f"{cronjob}-now-{secrets.token_hex(3)}"
    kubectl(lab, machine, f"create job {name} --from=cronjob/{cronjob}")
    said = f"logs job/{name} --tail=40"
    waited = f"wait --for=condition=complete job/{name} --timeout={_JOB_SECONDS}s >/dev/null"
    failed = f"{{ k3s kubectl -n {CHUTES_NAMESPACE} {said} >&2; exit 1; }}"
    kubectl(lab, machine, f"{waited} || {failed}", _JOB_SECONDS + 60)
    return kubectl(lab, machine, said)


def prometheus(lab: Lab, machine: str, path: str) -> Any:
    """What the Prometheus of one machine answers to a path of its API, asked through that machine's cluster."""
    service = f"prometheus-server:{int(ClusterPort.PROMETHEUS)}"
    full = f"/api/v1/namespaces/{MONITORING_NAMESPACE}/services/{service}/proxy/api/v1/{path}"
    answer = json.loads(lab.fleet.ssh(machine, f"k3s kubectl get --raw '{full}'"))
    assert answer["status"] == "success", answer
    return answer["data"]


def query(lab: Lab, machine: str, expression: str) -> list[tuple[dict[str, str], float]]:
    """Labels and value of every series that an expression gives now."""
    found = prometheus(lab, machine, f"query?query={quote(expression, safe='')}")
    assert found["resultType"] == "vector", found
    return [(item["metric"], float(item["value"][1])) for item in found["result"]]


def soon(seen: Callable[[], T], wanted: T) -> T:
    """Figures once they are as wanted; what was seen last where they have not become so in the time that they may take
    to arrive."""
    deadline = time.monotonic() + _FIGURES_SECONDS
    while (last := seen()) != wanted and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    return last

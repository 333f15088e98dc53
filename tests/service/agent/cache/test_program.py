"""The cleaner as a process, on a real folder and against a real API server (spec: agent-monitor 20.6, 23 X12)."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from asyncio import create_subprocess_exec, subprocess
from pathlib import Path

import orjson
import pytest

from agent.cache.cleaning import ExitCode
from agent.cache.ledger import LEDGER, read_uses
from agent.cache.locking import exclusive
from app.protocol.labels import CHUTE, CHUTE_ID
from app.protocol.model_cache import protection_of
from lab.kubernetes.apiserver import LocalApiServer
from tests.support.agents import Cluster
from tests.support.caches import add_repository
from tests.support.waiting import until

pytestmark = pytest.mark.service
STARTING, RUNNING, STARTING_TOO, IDLE = (f"{number}1111111-2222-3333-4444-555555555555" for number in (1, 2, 3, 4))
Report = dict[str, object]


async def run(root: Path, **environment: str) -> tuple[int | None, Report]:
    """One run that may keep nothing but what is protected."""
    values = {"HF_HOME": str(root), "GPU_IDLE_SECONDS": "0", "CACHE_MAX_SIZE_GB": "0", "PATH": os.environ["PATH"]}
    values |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
    process = await create_subprocess_exec(
        sys.executable, "-m", "agent.cache", env={**values, **environment}, stdout=subprocess.PIPE
    )
    output, _ = await process.communicate()
    report: Report = json.loads(output)
    return process.returncode, report


def models(root: Path, *chutes: str) -> dict[str, Path]:
    """An old model of each chute."""
    return {
        chute: add_repository(root / chute / "hub", "models--org--old", {"r1": [("b", 1000)]}, 90) for chute in chutes
    }


def left(found: dict[str, Path]) -> set[str]:
    return {chute for chute, path in found.items() if path.exists()}


async def test_x12_before_a_chute_what_the_job_builder_names_stays_and_is_written_down(tmp_path: Path) -> None:
    found = models(tmp_path, STARTING, RUNNING, IDLE)
    before = time.time()
    told = {"CLEANUP_EXCLUDE": STARTING, "CLEANUP_PROTECT": protection_of([RUNNING]), "INIT_CONTAINER": "true"}
    code, report = await run(tmp_path, **told)
    assert (code, report["problems"]) == (0, [])
    assert left(found) == {STARTING, RUNNING}
    uses = read_uses(tmp_path)
    assert uses.keys() == {STARTING, RUNNING}
    assert all(before <= at <= time.time() for at in uses.values())


async def test_x12_the_hourly_run_spares_who_has_a_pod_and_who_started_today(
    tmp_path: Path, cluster: Cluster, api_server: LocalApiServer
) -> None:
    found = models(tmp_path, STARTING, RUNNING, IDLE)
    assert (await run(tmp_path, CACHE_MAX_SIZE_GB="500", CLEANUP_EXCLUDE=STARTING))[0] == 0
    await cluster.create_pod("running", **{CHUTE: "true", CHUTE_ID: RUNNING})
    await cluster.create_pod("over", **{CHUTE: "true", CHUTE_ID: IDLE})
    status = orjson.dumps({"status": {"phase": "Succeeded"}})
    path = f"/api/v1/namespaces/{cluster.namespace}/pods/over/status"
    headers = {"Content-Type": "application/merge-patch+json"}
    assert (await cluster.http.patch(path, content=status, headers=headers)).status_code == 200
    asked = {"CLEANUP_PROTECT_RUNNING": "true", "NAMESPACE": cluster.namespace}
    code, report = await run(tmp_path, KUBECONFIG=str(api_server.kubeconfig), **asked)
    assert (code, report["problems"]) == (ExitCode.PARTIAL, []), "what is protected exceeds the limit"
    assert left(found) == {STARTING, RUNNING}
    assert read_uses(tmp_path).keys() == {STARTING, RUNNING}


async def test_x12_without_an_answer_of_the_api_server_nothing_is_deleted(
    tmp_path: Path, api_server: LocalApiServer
) -> None:
    found = models(tmp_path, RUNNING, IDLE)
    nobody = tmp_path / "kubeconfig"
    nobody.write_text(api_server.kubeconfig.read_text().replace(api_server.token, "a made-up token"))
    for environment in ({}, {"KUBECONFIG": str(nobody)}):
        code, report = await run(tmp_path, CLEANUP_PROTECT_RUNNING="true", **environment)
        assert (code, list(report)) == (ExitCode.PARTIAL, ["unknown"])
    assert left(found) == {RUNNING, IDLE}
    assert not (tmp_path / LEDGER).exists()


async def test_x12_chutes_that_start_at_the_same_time_keep_each_others_models(tmp_path: Path) -> None:
    """Neither was told of the other: while both wait for the lock, each writes itself down before it deletes."""
    cache = tmp_path / "cache"
    found = models(cache, STARTING, STARTING_TOO, IDLE)
    tool = tmp_path / "nvidia-smi"
    # The GPUs are busy until both have asked: each has then begun, and none has cleaned.
    tool.write_text(
        f"""#!/bin/sh
touch "{tmp_path}/asked-$CLEANUP_EXCLUDE"
case $1 in *memory*) echo 0;; *) [ -e "{tmp_path}/free" ] || echo 4711;; esac
"""
    )
    tool.chmod(0o755)
    environment = {"GPU_IDLE_SECONDS": "120", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    runs = [asyncio.create_task(run(cache, CLEANUP_EXCLUDE=chute, **environment)) for chute in (STARTING, STARTING_TOO)]
    await until(lambda: len(list(tmp_path.glob("asked-*"))) == len(runs), seconds=60)
    (tmp_path / "free").touch()
    reports = [report for _, report in await asyncio.gather(*runs)]
    assert all(report["problems"] == [] for report in reports)
    assert left(found) == {STARTING, STARTING_TOO}


async def test_a_cache_that_is_being_cleaned_for_long_does_not_keep_a_chute_from_starting(tmp_path: Path) -> None:
    found = models(tmp_path, STARTING, IDLE)
    with exclusive(tmp_path, 1.0):
        code, report = await run(tmp_path, CLEANUP_EXCLUDE=STARTING, INIT_CONTAINER="true", LOCK_WAIT_SECONDS="0.1")
    assert (code, list(report)) == (0, ["busy"])
    assert left(found) == {STARTING, IDLE}

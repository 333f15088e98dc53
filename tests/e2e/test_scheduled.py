"""What runs by the clock, run now: the tracker against the SIMULATED chain, dumps; and `headframe backup`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cache.ledger import LEDGER
from app.protocol.labels import CHUTE, CHUTE_ID
from app.protocol.model_cache import CACHE_FOLDER
from infra.components.cache_cleaner import NAME as CLEANER
from infra.settings.hosts import TRACKER_FOLDER
from lab.fleet.engine import read_stack_file, write_stack_file
from tests.support.lab import Lab
from tests.support.lab_commands import apply, headframe, kubectl, query, run_now, soon

pytestmark = [pytest.mark.e2e, pytest.mark.host, pytest.mark.timeout(1800)]

TRACKER, DUMPS = "tracker", "postgres-backup"
FOLDER = "/var/tmp/dumps"
#: Says of every address whether a connection to it can be made.
KNOCK = """
import socket, sys
for where in sys.argv[1:]:
    host, port = where.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), 5).close()
        print(where, "in")
    except OSError:
        print(where, "out")
"""


@pytest.fixture
def dumped(settled: Lab) -> Iterator[Lab]:
    """The fleet with dumps to one of its GPU hosts, as to any machine that has SSH; afterwards without them again."""
    target = next(host for host in settled.fleet.hosts if host.name == settled.gpu_nodes[0])
    file = settled.engine.stack_file
    before = file.read_text()
    settled.engine.quietly(
        "config", "set", "--secret", "headframe:backup_private_key", stdin=settled.fleet.private_key.read_text()
    )
    content = read_stack_file(file)
    (entry,) = [node for node in content["config"]["headframe:gpu_nodes"] if node["name"] == target.name]
    content["config"]["headframe:backup"] = {
        "host": target.address,
        "user": "root",
        "host_key": entry["ssh"]["host_key"],
        "folder": FOLDER,
        "keep": 2,
        "schedule": "0 0 1 1 *",  # by hand only
    }
    write_stack_file(file, content)
    try:
        declared = settled.up()
        assert declared.status == 0, declared.output
        yield settled
    finally:
        file.write_text(before)
        settled.fleet.ssh(target.name, f"rm -rf {FOLDER}")
        removed = settled.up()
    assert removed.status == 0, removed.output


def test_the_cache_cleaner_asks_its_node_which_chutes_run_and_writes_down_that_they_are_used(settled: Lab) -> None:
    name = settled.gpu_nodes[0]
    until_now = float(settled.fleet.ssh(name, "date +%s"))
    report = json.loads(run_now(settled, name, CLEANER).splitlines()[-1])
    assert "unknown" not in report, "the node's API server answered"
    assert report["problems"] == []
    uses = json.loads(settled.fleet.ssh(name, f"cat {CACHE_FOLDER}/{LEDGER}"))
    pods = json.loads(kubectl(settled, name, f"get pods -l {CHUTE}=true -o json"))["items"]
    running = {pod["metadata"]["labels"][CHUTE_ID] for pod in pods}
    assert running, "a chute earns on the node"
    assert all(uses[chute] >= until_now for chute in running), (uses, running)


def test_the_trackers_job_leaves_a_snapshot_of_the_simulated_chain_and_prometheus_shows_it(settled: Lab) -> None:
    job = json.loads(kubectl(settled, settled.control, f"get cronjob {TRACKER} -o json"))["spec"]
    assert (job["schedule"], job["concurrencyPolicy"]) == ("17 * * * *", "Forbid")
    assert 0 < job["jobTemplate"]["spec"]["activeDeadlineSeconds"] <= 600
    said = run_now(settled, settled.control, TRACKER)
    assert "subnets" in said, said
    newest = f"ls -t {TRACKER_FOLDER}/snapshots/snapshot_*.json | head -1"
    snapshot = json.loads(settled.fleet.ssh(settled.control, f"cat $({newest})"))
    assert f"block {snapshot['block']:,}" in said
    assert len(snapshot["subnets"]) > 1
    assert all(len(subnet["uid_hotkey_map"]) == subnet["n_neurons"] for subnet in snapshot["subnets"].values())

    def shown() -> list[float]:
        return [value for _, value in query(settled, settled.control, "headframe_tracker_block")]

    wanted = [float(snapshot["block"])]
    assert soon(shown, wanted) == wanted


def test_the_tracker_reaches_the_chain_and_not_the_database(settled: Lab) -> None:
    network = read_stack_file(settled.engine.stack_file)["config"]["headframe:tracker"]["network"]
    chain = network.removeprefix("ws://")
    address = "jsonpath='{.spec.clusterIP}:{.spec.ports[0].port}'"
    database = kubectl(settled, settled.control, f"get service postgres -o {address}")
    job = json.loads(kubectl(settled, settled.control, f"get cronjob {TRACKER} -o json"))["spec"]["jobTemplate"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        # What the tracker's NetworkPolicy selects.
        "metadata": {"name": "knock", "labels": job["template"]["metadata"]["labels"]},
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "knock",
                    "image": container["image"],
                    "imagePullPolicy": container["imagePullPolicy"],
                    "command": ["python3", "-c", KNOCK, chain, database],
                }
            ],
        },
    }
    kubectl(settled, settled.control, "delete pod knock --ignore-not-found --now")
    apply(settled, settled.control, pod)
    kubectl(settled, settled.control, "wait --for=jsonpath='{.status.phase}'=Succeeded pod/knock --timeout=90s", 120)
    said = kubectl(settled, settled.control, "logs knock").splitlines()
    kubectl(settled, settled.control, "delete pod knock --now")
    assert said == [f"{chain} in", f"{database} out"]


def test_the_dump_job_puts_a_dump_with_data_on_another_machine_and_keeps_as_many_as_declared(dumped: Lab) -> None:
    target = dumped.gpu_nodes[0]
    results = [json.loads(run_now(dumped, dumped.control, DUMPS).splitlines()[-1]) for _ in range(3)]
    assert all(result["tables"] > 5 and result["bytes"] > 10_000 for result in results), results
    there = dumped.fleet.ssh(target, f"ls {FOLDER}").split()
    assert sorted(there) == sorted(result["dump"] for result in results[1:])
    assert results[2]["removed"] == [results[0]["dump"]]
    modes = dumped.fleet.ssh(target, f"stat -c %a {FOLDER}/*").split()
    assert set(modes) == {"600"}


def test_headframe_backup_is_taken_from_the_running_fleet_and_its_drill_finds_the_same_rows(
    settled: Lab, tmp_path: Path
) -> None:
    word = tmp_path / "password"
    word.write_text("a password of the test\n")
    environment = {"HEADFRAME_BACKUP_PASSWORD_FILE": str(word)}
    sealed = tmp_path / "fleet.backup"
    taken = headframe(settled, "backup", str(sealed), environment=environment)
    assert "headframe backup drill" in taken
    assert sealed.stat().st_mode & 0o777 == 0o600
    assert b"gpu-0" not in sealed.read_bytes(), "sealed"
    drilled = headframe(settled, "backup", "drill", str(sealed), environment=environment)
    assert "rows" in drilled, drilled

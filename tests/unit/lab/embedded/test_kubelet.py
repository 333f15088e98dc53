"""What the played kubelet makes of pods and processes."""

from __future__ import annotations

from datetime import UTC, datetime

from lab.embedded.kubelet import Pod, chute_arguments, finished, running

NOW = datetime(2026, 1, 1, tzinfo=UTC)
COMMAND = ["chutes", "run", "a:chute", "--port", "8000", "--miner-ss58", "M", "--validator-ss58", "V"]
ENVIRONMENT = {"CHUTES_PORT_PRIMARY": "31000", "CHUTES_PORT_LOGGING": "31001"}


def test_a_chute_listens_where_its_node_ports_would_lead() -> None:
    words = chute_arguments(COMMAND, ENVIRONMENT, "127.64.0.11")
    assert words[:2] == ["run", "a:chute"]
    assert "8000" not in words
    pairs = dict(zip(words[2::2], words[3::2], strict=True))
    assert pairs == {
        "--miner-ss58": "M",
        "--validator-ss58": "V",
        "--port": "31000",
        "--logging-port": "31001",
        "--host": "127.64.0.11",
    }


def test_a_pod_is_read_by_its_first_container() -> None:
    container = {"command": COMMAND, "env": [{"name": "A", "value": "1"}, {"name": "B"}]}
    meta = {"namespace": "chutes", "name": "p", "uid": "u", "deletionTimestamp": NOW.isoformat()}
    pod = Pod.read({"metadata": meta, "spec": {"containers": [container]}})
    assert (pod.phase, pod.is_ending, pod.environment) == ("Pending", True, {"A": "1", "B": ""})
    assert pod.path == "/api/v1/namespaces/chutes/pods/p"


def test_statuses_say_what_happened_to_the_process() -> None:
    assert running("127.64.0.11", NOW)["phase"] == "Running"
    assert [finished(code, NOW)["phase"] for code in (0, 1)] == ["Succeeded", "Failed"]

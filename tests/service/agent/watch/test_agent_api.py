"""The agent's HTTP API and its calls to a monitor, on a real API server (spec: agent-monitor 22, C1-C9, C21, C22)."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import orjson
import pytest

from agent.watch.client import MonitorClient, MonitorError
from app.protocol.monitoring import AgentState
from tests.support.agents import (
    Cluster,
    RunningAgent,
    eventually,
)
from tests.support.fake_monitor import fake_monitor
from tests.support.observe import SIGNER

pytestmark = pytest.mark.service


@pytest.mark.parametrize("state", list(AgentState))
async def test_c1_health_is_503_in_state_error_alone(agent: RunningAgent, state: AgentState) -> None:
    agent.lifecycle._set(state)
    async with agent.lifecycle._lock:  # C8: a start or stop that hangs does not hold up the probe
        answer = await agent.http.get("/monitor/health")
    assert answer.status_code == (503 if state is AgentState.ERROR else 200)
    if state is not AgentState.ERROR:
        assert answer.json() == {"status": "healthy", "cluster": "gpu-1"}


async def test_c2_status_has_four_fields_and_reading_it_changes_nothing(agent: RunningAgent) -> None:
    readings = [(await agent.http.get("/monitor/status")).json() for _ in range(3)]
    stopped = {"cluster_id": "gpu-1", "state": "stopped", "error_message": None, "last_heartbeat": None}
    assert readings == [stopped] * 3
    assert [state.value for state in AgentState] == ["stopped", "starting", "running", "degraded", "error"]


async def test_c3_c22_a_start_registers_and_then_beats(agent: RunningAgent, cluster: Cluster) -> None:
    await cluster.create_pod("a")
    async with fake_monitor() as monitor:
        answer = await agent.start(monitor.url + "/")
        assert (answer.status_code, answer.json()) == (200, {"message": "Monitoring started", "cluster": "gpu-1"})
        await eventually(lambda: _has(monitor.names(), "heartbeat"))
        status = (await agent.http.get("/monitor/status")).json()
        assert (status["state"], status["error_message"]) == ("running", None)
        await eventually(lambda: _heartbeat_seen(agent))
        assert monitor.names()[0] == "register"
        pods = monitor.calls[0].body["resources"]["pods"]
        assert [item["metadata"]["name"] for item in pods] == ["a"]
        assert list(monitor.calls[0].body["resources"]) == ["deployments", "services", "pods", "nodes", "jobs"]
        assert monitor.calls[1].body["state"] == "active"
        assert monitor.calls[1].body["timestamp"].endswith("+00:00")


async def test_c4_a_start_while_running_is_409_and_disturbs_nothing(agent: RunningAgent) -> None:
    async with fake_monitor() as monitor:
        await agent.start(monitor.url)
        again = await agent.start(monitor.url)
        assert again.status_code == 409
        assert "already running" in again.json()["detail"]
        assert monitor.names().count("register") == 1
        assert await agent.state() == "running"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"url":"x"}',
        b'{"control_plane_url":null}',
        b'{"control_plane_url":"  "}',
        b'{"control_plane_url":7}',
    ],
)
async def test_c5_a_start_without_an_address_is_422_and_starts_nothing(agent: RunningAgent, body: bytes) -> None:
    assert (await agent.start_raw(body)).status_code == 422
    assert await agent.state() == "stopped"


async def test_c6_c12_a_start_that_fails_is_500_with_the_cause_and_goes_on_trying(
    agent: RunningAgent, tmp_path: Path
) -> None:
    async with fake_monitor(register=[500], replace=[500]) as monitor:
        answer = await agent.start(monitor.url)
        assert answer.status_code == 500
        assert "500" in answer.json()["detail"]
        status = (await agent.http.get("/monitor/status")).json()
        assert status["state"] == "degraded"
        assert status["error_message"].startswith("Not connected to control plane")
        assert (tmp_path / "control_plane_url").read_text() == monitor.url
        assert (tmp_path / "control_plane_url").stat().st_mode & 0o777 == 0o600
        monitor.answers.update(replace=[200])
        await eventually(lambda: _is(agent, "running"))


async def test_c7_stopping_is_idempotent_and_needs_a_monitor_once(agent: RunningAgent, tmp_path: Path) -> None:
    nobody = await agent.stop()
    assert nobody.status_code == 409
    assert "active control plane client" in nobody.json()["detail"]
    async with fake_monitor() as monitor:
        await agent.start(monitor.url)
        assert [(await agent.stop()).json() for _ in range(2)] == [{"message": "Monitoring stopped"}] * 2
        assert monitor.names().count("unregister") == 2
        assert not (tmp_path / "control_plane_url").exists()
        monitor.answers.update(unregister=[500])
        await agent.start(monitor.url)
        failed = await agent.stop()
        assert failed.status_code == 500
        assert "500" in failed.json()["detail"]
        assert (tmp_path / "control_plane_url").exists()


async def test_c8_methods_and_signatures_of_the_routes(agent: RunningAgent) -> None:
    assert (await agent.http.get("/ping")).json() == {"message": "pong"}
    assert (await agent.http.get("/monitor/start")).status_code == 405
    assert (await agent.http.post("/monitor/stop")).status_code == 405
    assert (await agent.http.post("/monitor/start", content=b'{"control_plane_url":"http://a"}')).status_code == 401
    assert (await agent.http.get("/monitor/stop")).status_code == 401
    assert (await agent.http.get("/config/kubeconfig")).status_code == 401
    purpose_of_another = SIGNER.management_headers(str(int(time.time())), body=b"")
    assert (await agent.http.get("/monitor/stop", headers=purpose_of_another)).status_code == 401
    assert b"headframe_agent_state" in (await agent.http.get("/metrics")).content


async def test_c9_the_kubeconfig_is_read_from_its_secret(agent: RunningAgent, cluster: Cluster) -> None:
    path = "/api/v1/namespaces/default/secrets"
    await cluster.http.delete(f"{path}/miner-kubeconfig")
    missing = await agent.kubeconfig()
    assert (missing.status_code, "not found" in missing.json()["detail"]) == (404, True)
    for data, status in (({"other": ""}, 500), ({"kubeconfig": base64.b64encode(b"apiVersion: v1").decode()}, 200)):
        body = orjson.dumps({"metadata": {"name": "miner-kubeconfig"}, "data": data})
        await cluster.http.delete(f"{path}/miner-kubeconfig")
        await cluster.http.post(path, content=body, headers={"Content-Type": "application/json"})
        answer = await agent.kubeconfig()
        assert answer.status_code == status
        if status == 200:
            assert answer.json() == {"kubeconfig": "apiVersion: v1"}
        else:
            assert "does not contain 'kubeconfig' key" in answer.json()["detail"]
    await cluster.http.delete(f"{path}/miner-kubeconfig")


async def test_a_server_outside_the_inventory_stops_the_agent_and_is_told_to_who_started_it(
    agent: RunningAgent, tmp_path: Path
) -> None:
    async with fake_monitor(register=[404]) as monitor:
        monitor.details[404] = "Server does not exist in inventory."
        answer = await agent.start(monitor.url)
        assert answer.status_code == 424
        assert await agent.state() == "stopped"
        assert not (tmp_path / "control_plane_url").exists()


async def test_a_404_that_is_not_the_monitors_own_does_not_make_the_agent_forget(
    agent: RunningAgent, tmp_path: Path
) -> None:
    async with fake_monitor(register=[404]) as monitor:
        monitor.details[404] = "<html>nginx</html>"
        assert (await agent.start(monitor.url)).status_code == 500
        assert await agent.state() == "degraded"
        assert (tmp_path / "control_plane_url").exists()


@pytest.mark.parametrize("status", [201, 202, 204, 301, 404, 500, 503])
async def test_c22_only_200_is_success(status: int) -> None:
    async with fake_monitor(heartbeat=[status]) as monitor, MonitorClient(monitor.url, "gpu-1", SIGNER) as client:
        with pytest.raises(MonitorError, match=str(status)) as raised:
            await client.heartbeat()
        assert raised.value.status == status


async def test_c21_a_slash_at_the_end_of_the_address_is_dropped() -> None:
    async with MonitorClient("http://monitor.invalid/", "gpu-1", SIGNER) as client:
        assert client.url == "http://monitor.invalid"


async def _has(names: list[str], name: str) -> bool:
    return name in names


async def _is(agent: RunningAgent, state: str) -> bool:
    return await agent.state() == state


async def _heartbeat_seen(agent: RunningAgent) -> bool:
    return (await agent.http.get("/monitor/status")).json()["last_heartbeat"] is not None

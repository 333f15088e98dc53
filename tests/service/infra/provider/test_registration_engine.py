"""Registrations under the real engine: another address replaces nothing, and an API that moved is asked where it is.

The miner API is acted: it lists what was added, and notes every request.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from infra.provider.kinds.registration_calls import COMPLETED
from lab.engine.toolchain import Toolchain
from tests.support.engine import Project
from tests.support.lab import Run
from tests.support.provider import ROOT
from tests.support.settings import HOTKEY, HOTKEY_SEED

pytestmark = pytest.mark.service

_PROGRAM = """\
import json
from pathlib import Path

from infra.resources.registration import Registration, RegistrationArgs

seed = Path("seed").read_text()
for name, declared in json.loads(Path("nodes.json").read_text()).items():
    Registration(f"{name}-registration", RegistrationArgs(node=name, seed=seed, **declared))
"""


class ActedApi(ThreadingHTTPServer):
    """What it knows outlives its address: `at` serves the same servers elsewhere."""

    daemon_threads = True

    def __init__(self, servers: dict[str, dict[str, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.servers = servers
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @classmethod
    @contextmanager
    def at(cls, servers: dict[str, dict[str, Any]]) -> Iterator[ActedApi]:
        api = cls(servers)
        thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield api
        finally:
            api.shutdown()
            api.server_close()
            thread.join(10)


class _Handler(BaseHTTPRequestHandler):
    server: ActedApi

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _take(self) -> tuple[str, dict[str, Any]]:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append(f"{self.command} {self.path}")
        return self.path.split("/")[2], json.loads(raw) if raw else {}

    def do_GET(self) -> None:
        self._take()
        self._answer(json.dumps(list(self.server.servers.values())).encode())

    def do_POST(self) -> None:
        name, body = self._take()
        if name:
            return self._answer(b"{}")
        gpus = [{"gpu_id": "0" * 32, "verified": True}]
        known = {"name": body["name"], "server_id": f"id-{body['name']}", "agent_api": body["agent_api"], "gpus": gpus}
        self.server.servers[body["name"]] = known
        return self._answer(f'data: {{"message": "{COMPLETED} 1.0 seconds"}}\n\n'.encode())

    def do_PUT(self) -> None:
        name, body = self._take()
        self.server.servers[name] |= {key: value for key, value in body.items() if key == "agent_api"}
        self._answer(b"{}")

    def do_DELETE(self) -> None:
        name, _ = self._take()
        del self.server.servers[name]
        self._answer(b"{}")


def declared(api: ActedApi, address: str, **changes: object) -> dict[str, object]:
    return {
        "kind": "bare", "miner_api": api.url, "agent_api": f"http://{address}:32000", "validator": HOTKEY,
        "gpu": "h100_sxm", "hourly_cost_usd": 2.0, "drained": False, "registry_token_sha256": "ab" * 32,
    } | changes  # fmt: skip


@pytest.fixture(scope="module")
def project(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("registrations")
    project = Project(
        folder / "project",
        toolchain,
        {"HEADFRAME_PYTHON": sys.executable, "PYTHONPATH": str(ROOT)},
    )
    provider = ROOT / "infra" / "provider"
    project.write(
        "Pulumi.yaml",
        f"name: headframe\nruntime: python\nplugins:\n  providers:\n    - {{name: headframe, path: {provider}}}\n",
    )
    project.write("__main__.py", _PROGRAM)
    project.write("seed", HOTKEY_SEED)
    project.write("nodes.json", "{}")
    project.run("stack", "init", "dev")
    yield project
    project.end_all()


def run(project: Project, *arguments: str) -> Run:
    """What the engine's own events say of a run."""
    log = project.folder / "events.jsonl"
    log.write_text("")
    done = subprocess.run(
        ["pulumi", "--non-interactive", *arguments, "--event-log", str(log)],
        cwd=project.folder,
        env=project.environment | {"PULUMI_DEBUG_COMMANDS": "true"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Run(done.returncode, done.stdout, tuple(json.loads(line) for line in log.read_text().splitlines()))


def changed(project: Project, *arguments: str) -> list[tuple[str, str]]:
    """Operation and node of each step that changes a registration."""
    steps = run(project, *arguments).changed
    return [(operation, name.removesuffix("-registration")) for operation, name in steps if "registration" in name]


UP = ("up", "--yes", "--skip-preview")


def test_another_address_of_a_node_replaces_nothing_and_removes_nothing(project: Project) -> None:
    with ActedApi.at({}) as api:
        project.write("nodes.json", json.dumps({"gpu-0": declared(api, "9.0.0.11")}))
        project.run("up", "--yes", "--skip-preview")
        assert "POST /servers/" in api.asked
        api.asked.clear()

        project.write("nodes.json", json.dumps({"gpu-0": declared(api, "9.0.0.99")}))
        assert changed(project, "preview") == [("update", "gpu-0")]
        moved = run(project, *UP)
        assert (moved.replaces, moved.changes.get("update")) == ([], 1)
        assert [line for line in api.asked if not line.startswith("GET")] == ["PUT /servers/gpu-0/address"]
        assert api.servers["gpu-0"]["agent_api"] == "http://9.0.0.99:32000"
        assert changed(project, "preview") == []

        project.write("nodes.json", "{}")
        assert changed(project, *UP) == [("delete", "gpu-0")]
        assert api.servers == {}


def test_a_node_leaves_through_an_api_that_has_moved_in_the_same_update(project: Project) -> None:
    servers: dict[str, dict[str, Any]] = {}
    with ActedApi.at(servers) as old:
        nodes = {"gpu-0": declared(old, "9.0.0.11"), "gpu-1": declared(old, "9.0.0.12")}
        project.write("nodes.json", json.dumps(nodes))
        project.run("up", "--yes", "--skip-preview")
        assert sorted(servers) == ["gpu-0", "gpu-1"]
    with ActedApi.at(servers) as new:  # nobody answers at the old address any more
        project.write("nodes.json", json.dumps({"gpu-1": declared(new, "9.0.0.12")}))
        assert changed(project, *UP) == [("update", "gpu-1"), ("delete", "gpu-0")]
        assert (sorted(servers), "DELETE /servers/gpu-0" in new.asked) == (["gpu-1"], True)
        assert "DELETE /servers/gpu-1" not in new.asked
        project.write("nodes.json", "{}")
        project.run("up", "--yes", "--skip-preview")

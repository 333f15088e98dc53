"""The local API server is a real one: RBAC, deletion of namespaces, data kept over a restart, nothing left behind."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from lab.kubernetes.apiserver import LocalApiServer

pytestmark = pytest.mark.service


def client(server: LocalApiServer, token: str | None = None) -> httpx.Client:
    return httpx.Client(
        base_url=server.url,
        headers={"Authorization": f"Bearer {token or server.token}"},
        verify=ssl.create_default_context(cafile=str(server.ca_file)),
        timeout=10,
    )


def eventually(holds: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.1)
    return holds()


def test_it_answers_the_administrator_and_nobody_else(api_server: LocalApiServer) -> None:
    with client(api_server) as admin:
        assert admin.get("/version").json()["gitVersion"] == "v1.34.2+headframe-lab"
    with client(api_server, "wrong") as stranger:
        assert stranger.get("/api/v1/namespaces").status_code == 401
    assert api_server.kubeconfig.stat().st_mode & 0o077 == 0


def test_a_deleted_namespace_takes_its_objects_with_it(api_server: LocalApiServer) -> None:
    with client(api_server) as admin:
        assert admin.post("/api/v1/namespaces", json={"metadata": {"name": "doomed"}}).status_code == 201
        secret = admin.post("/api/v1/namespaces/doomed/secrets", json={"metadata": {"name": "s"}})
        assert secret.status_code == 201
        admin.delete("/api/v1/namespaces/doomed")
        assert eventually(lambda: admin.get("/api/v1/namespaces/doomed").status_code == 404)


def test_a_dependent_follows_its_owner(api_server: LocalApiServer) -> None:
    with client(api_server) as admin:
        path = "/api/v1/namespaces/default/configmaps"
        owner = admin.post(path, json={"metadata": {"name": "owner"}}).json()["metadata"]["uid"]
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner}
        admin.post(path, json={"metadata": {"name": "dependent", "ownerReferences": [reference]}})
        admin.delete(f"{path}/owner")
        assert eventually(lambda: admin.get(f"{path}/dependent").status_code == 404)


def test_its_processes_die_with_a_killed_parent_and_in_the_same_folder_an_outage_keeps_data_and_address(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "k"
    program = (
        "import sys, time; from pathlib import Path; from lab.kubernetes.apiserver import LocalApiServer\n"
        "LocalApiServer(Path(sys.argv[1]), controllers=()).start(); print('up', flush=True); time.sleep(300)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        pids = [int((folder / f"{name}.pid").read_text()) for name in ("etcd", "kube-apiserver")]
        os.kill(parent.pid, signal.SIGKILL)
    assert eventually(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in pids))
    with LocalApiServer(folder, controllers=()) as server, client(server) as admin:
        admin.post("/api/v1/namespaces/default/configmaps", json={"metadata": {"name": "kept"}})
        server.stop()
        assert not server.is_running
        with pytest.raises(httpx.TransportError):
            admin.get("/version")
        server.start()
        assert admin.get("/api/v1/namespaces/default/configmaps/kept").status_code == 200

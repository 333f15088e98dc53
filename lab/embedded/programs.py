"""Our programs as processes, each with the environment that its container would have, and a log of its own."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson

from lab.embedded.cluster import NodeCluster
from lab.kubernetes.processes import ProcessGroup
from lab.services.redis import free_port

#: What a process of ours may take from this shell; everything else is told.
_PASSED_ON: Final = ("PATH", "VIRTUAL_ENV", "HOME", "LANG", "COVERAGE_PROCESS_START", "COVERAGE_FILE")
_HOST: Final = "127.0.0.1"


@dataclass(frozen=True)
class Identity:
    """Keys and places that all programs share. The seed shows in no repr.

    Args:
        validator: address and URL of the SIMULATED validator.
    """

    ss58: str
    seed: str = field(repr=False)
    validator: tuple[str, str]
    database_url: str
    redis_url: str

    def environment(self) -> dict[str, str]:
        """The variables by their public names (spec: protocol 13)."""
        hotkey, url = self.validator
        return {
            "MINER_SS58": self.ss58,
            "MINER_SEED": self.seed,
            "VALIDATORS": orjson.dumps({"supported": [{"hotkey": hotkey, "api": url, "socket": url}]}).decode(),
            "POSTGRESQL": self.database_url,
            "REDIS_URL": self.redis_url,
        }


class Programs:
    """Miner API, monitor, Gepetto, and one agent for each node. They die with this process."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._identity = identity
        self._processes = ProcessGroup(folder)
        self.api_port, self.monitor_port, self.gepetto_port = free_port(), free_port(), free_port()
        self.agent_ports: dict[str, int] = {}

    @property
    def api_url(self) -> str:
        return f"http://{_HOST}:{self.api_port}"

    @property
    def monitor_url(self) -> str:
        return f"http://{_HOST}:{self.monitor_port}"

    @property
    def gepetto_url(self) -> str:
        return f"http://{_HOST}:{self.gepetto_port}"

    def start_control_plane(self) -> None:
        """Start the three programs of the control host; the database's schema must be there."""
        monitor = {"MONITOR_API": self.monitor_url, "HEARTBEAT_INTERVAL": "5", "RECONCILIATION_INTERVAL_SECONDS": "5"}
        api = ["-m", "app.api", "--host", _HOST, "--port", str(self.api_port), "--workers", "1"]
        self._start("miner-api", api, monitor)
        self._start("monitor", ["-m", "app.observe"], monitor | {"PORT": str(self.monitor_port)})
        own = {
            "GEPETTO_PORT": str(self.gepetto_port),
            "GEPETTO_FILE": str(self._folder / "gepetto.py"),
            "GEPETTO_CONFIG": str(self._folder / "gepetto.yaml"),
            "CHUTE_SHUTDOWN_TIME_SECONDS": "5",
        }
        self._start("gepetto", ["-m", "app.gepetto"], own)

    def start_agent(self, cluster: NodeCluster) -> str:
        """Start one node's agent; its address."""
        name = cluster.node.name
        port = self.agent_ports.setdefault(name, free_port())
        own = {
            "CLUSTER_NAME": name,
            "KUBECONFIG": str(cluster.server.kubeconfig),
            "CONTROL_PLANE_URL_FILE": str(self._folder / f"{name}.control-plane-url"),
            "HEARTBEAT_INTERVAL": "5",
            "PORT": str(port),
        }
        self._start(f"agent-{name}", ["-m", "agent.watch"], own)
        return f"http://{cluster.node.address}:{port}"

    def raise_if_ended(self) -> None:
        """Raises RuntimeError with the end of the log of a program that ended by itself."""
        self._processes.raise_if_ended()

    def stop(self) -> None:
        """End all of them."""
        self._processes.stop(together=True)

    def _start(self, name: str, arguments: list[str], own: dict[str, str]) -> None:
        passed = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        self._processes.start(name, [sys.executable, *arguments], passed | self._identity.environment() | own)

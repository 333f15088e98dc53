"""Both generations of the SDK behind one face, so that an acceptance test is written once and run with either."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from tests.support import sdk_worker
from tests.support.environments import environment
from tracker import errors, files
from tracker.model import Snapshot

ROOT: Final = Path(__file__).parents[2]
OLDER: Final = "10.5.0"
REQUIREMENTS: Final = (
    f"bittensor=={OLDER}",
    "aiosqlite>=0.20",
    f"coverage=={version('coverage')}",
    "cyclopts>=4",
    "matplotlib>=3.10",
    "orjson>=3.10",
    "prometheus-client>=0.21",
    "pydantic-settings>=2.8",
    "rich>=14",
    "sqlalchemy[asyncio]>=2.0.40",
)


@dataclass(frozen=True)
class Ran:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What it printed with `--json`."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Sdk:
    """One generation.

    Args:
        python: interpreter of an environment that has it.
        endpoint_variable: by which this generation names the endpoint of the network `local`.
        ask: sends a request of `sdk_worker` and gives its reply.
    """

    name: str
    python: str
    endpoint_variable: str
    home: dict[str, str]
    ask: Callable[[dict[str, Any]], dict[str, Any]]

    async def call(self, operation: str, **parameters: object) -> dict[str, Any]:
        """Perform one operation.

        Raises:
            TrackerError: of the class that the tracker raised there.
        """
        request = {"operation": operation, "environment": self.home, **parameters}
        reply = await asyncio.to_thread(self.ask, request)
        if "crash" in reply:
            raise AssertionError(f"{self.name}: {reply['crash']}")
        if "error" in reply:
            raise getattr(errors, reply["error"])(reply["message"])
        answer: dict[str, Any] = reply["answer"]
        return answer

    async def snapshot(self, url: str, **parameters: object) -> Snapshot:
        """Take a snapshot."""
        return files.decode(json.dumps(await self.call("snapshot", url=url, **parameters)).encode())

    async def run(self, *arguments: str) -> Ran:
        """Run a command of the tracker."""
        return Ran(**await self.call("command", arguments=list(arguments)))

    async def start(self, *arguments: str, **variables: str) -> asyncio.subprocess.Process:
        """Start the tracker as a process of its own."""
        return await asyncio.create_subprocess_exec(
            *(self.python, "-m", "tracker", *arguments),
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **self.home, **variables},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )


def installed(home: dict[str, str]) -> Sdk:
    """The generation that the lock file holds, in this process."""
    return Sdk("bittensor 11", sys.executable, "BT_CHAIN_ENDPOINT", home, sdk_worker.perform)


class OlderWorker:
    """A process with the older generation that answers requests until it is closed; importing its SDK takes seconds."""

    def __init__(self) -> None:
        self.python = environment(f"bittensor-{OLDER}", REQUIREMENTS)
        self._process = subprocess.Popen(
            [str(self.python), "-m", "tests.support.sdk_worker"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "140"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send one request and wait for its reply."""
        writer, reader = self._process.stdin, self._process.stdout
        if writer is None or reader is None:
            raise RuntimeError("the worker has no pipes")
        writer.write(json.dumps(request) + "\n")
        writer.flush()
        line = reader.readline()
        if not line:
            raise RuntimeError(f"the worker with bittensor {OLDER} ended with {self._process.wait(10)}")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def sdk(self, home: dict[str, str]) -> Sdk:
        """This generation for one test."""
        return Sdk(f"bittensor {OLDER}", str(self.python), "BT_SUBTENSOR_CHAIN_ENDPOINT", home, self.ask)

    def close(self) -> None:
        """End it; it writes what it knows of coverage."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()


def arguments(url: str, folder: Path, *more: str) -> Sequence[str]:
    """Options by which a command reads this endpoint and this folder."""
    return ("--network", url, "--dir", str(folder), *more)

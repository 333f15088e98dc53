"""The lab's fleet for tests of the e2e tier: what `make up` left, or one of their own that goes when they are done.

Runs the real engine and reads what it did from its own event log, never from text for people.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeAlias

from lab.engine.toolchain import prepare
from lab.fleet.engine import CLONE, LabEngine, committed_stack
from lab.fleet.stack import STACK
from lab.hosts.fleet import LabFleet
from lab.hosts.models import HostState
from lab.state import state_folder

Json: TypeAlias = dict[str, Any]

HOST: Final = "headframe:index:Host"
_BOOT_SECONDS: Final = 2400.0
_RUN_SECONDS: Final = 900.0
_POLL_SECONDS: Final = 0.05
#: What a step means for the resource: nothing.
QUIET: Final = frozenset({"same", "refresh", "read"})


@dataclass(frozen=True)
class Run:
    """One run of the engine: how it ended, what it said, what it did."""

    status: int
    output: str
    events: tuple[Json, ...] = field(repr=False)

    @cached_property
    def changes(self) -> dict[str, int]:
        """Operation -> number of resources, from the engine's own summary."""
        found = [event["summaryEvent"]["resourceChanges"] for event in self.events if "summaryEvent" in event]
        return {kind: count for kind, count in (found[-1] if found else {}).items() if count}

    @property
    def replaces(self) -> list[str]:
        """Names of resources that were, or would be, replaced or deleted."""
        return [name for operation, _, name in self.steps if "replace" in operation or operation == "delete"]

    @property
    def steps(self) -> list[tuple[str, str, str]]:
        """Operation, type and name of each step, in order."""
        found = []
        for event in self.events:
            if step := event.get("resourcePreEvent"):
                urn = step["metadata"]["urn"]
                found.append((step["metadata"]["op"], urn.split("::")[2].rsplit("$", 1)[-1], urn.rsplit("::", 1)[-1]))
        return found

    @property
    def changed(self) -> list[tuple[str, str]]:
        """Operation and name of each step that changes something."""
        return [(operation, name) for operation, _, name in self.steps if operation not in QUIET]


@dataclass(frozen=True)
class Lab:
    """The fleet, the engine on its stack, the folder of the project."""

    fleet: LabFleet
    engine: LabEngine
    folder: Path = CLONE

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Run:
        """Run `pulumi` to its end."""
        with self.started(*arguments, environment=environment) as running:
            return running.finish()

    def up(self) -> Run:
        return self.run("up", "--yes", "--skip-preview")

    def preview(self) -> Run:
        return self.run("preview")

    @contextmanager
    def started(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Running]:
        """`pulumi`, running; ended when the block is left."""
        with tempfile.NamedTemporaryFile(suffix=".jsonl") as log, tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(
                ["pulumi", "--non-interactive", *arguments, "--event-log", log.name],
                cwd=self.folder,
                env=self.engine.environment | {"PULUMI_DEBUG_COMMANDS": "true"} | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            running = Running(process, Path(log.name), output.fileno(), self.engine.toolchain.home)
            try:
                yield running
            finally:
                process.kill()
                process.wait()

    @property
    def control(self) -> str:
        """Name of the control host."""
        return str(committed_stack()["config"]["headframe:control"]["name"])

    @property
    def gpu_nodes(self) -> list[str]:
        """Names of the GPU nodes."""
        return [host.name for host in self.fleet.hosts if host.name != self.control]

    @property
    def declared_packages(self) -> list[str]:
        """Packages that every machine is declared to have."""
        host = next(entry for entry in self.resources(HOST) if entry["urn"].endswith(f"::{self.control}"))
        return list(host["inputs"]["base"]["packages"])

    def plain(self, value: object) -> str:
        """A secret of a state that was exported with its secrets shown."""
        assert isinstance(value, dict)
        return str(json.loads(value["plaintext"]))

    def kubeconfig(self, name: str) -> str:
        """The kubeconfig of one machine, out of the state."""
        hosts = self.state(show_secrets=True)["deployment"]["resources"]
        host = next(entry for entry in hosts if entry["type"] == HOST and entry["urn"].endswith(f"::{name}"))
        return self.plain(host["outputs"]["kubeconfig"])

    def renew_credentials(self, name: str) -> None:
        """Give a cluster's administrator another certificate, as `k3s certificate rotate` does."""
        self.fleet.ssh(
            name,
            "systemctl stop k3s && rm -f /var/lib/rancher/k3s/server/tls/client-admin.* /etc/rancher/k3s/k3s.yaml "
            "&& systemctl start k3s && until [ -s /etc/rancher/k3s/k3s.yaml ]; do sleep 0.2; done",
            120,
        )

    def state(self, *, show_secrets: bool = False) -> Json:
        """The stack's state."""
        options = ["--show-secrets"] if show_secrets else []
        content: Json = json.loads(self.engine.quietly("stack", "export", *options))
        return content

    def resources(self, kind: str) -> list[Json]:
        """The resources of one type, as the state has them."""
        return [entry for entry in self.state()["deployment"].get("resources", []) if entry["type"] == kind]


@dataclass(frozen=True)
class Running:
    """A run of the engine that has not ended."""

    process: subprocess.Popen[bytes]
    log: Path
    output: int
    home: Path

    def finish(self) -> Run:
        """Wait for the end."""
        status = self.process.wait(_RUN_SECONDS)
        os.lseek(self.output, 0, os.SEEK_SET)
        with os.fdopen(os.dup(self.output)) as output:
            text = output.read()
        lines = self.log.read_text().splitlines()
        return Run(status, text, tuple(json.loads(line) for line in lines if line.strip()))

    def wait_until_seen(self, part: str, seconds: float = 300.0) -> None:
        """Wait until a process of this run has `part` in its command line.

        Raises:
            TimeoutError: none appeared, or the run ended before.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            if any(part in command for _, command in processes_below(self.process.pid)):
                return
            time.sleep(_POLL_SECONDS)
        raise TimeoutError(f"no process with {part!r} was seen within {seconds:.0f} s")

    def kill_when_seen(self, wanted: Callable[[str], bool], seconds: float = 120.0) -> str:
        """SIGKILL the first process of this run whose command line is `wanted`; that command line.

        Raises:
            TimeoutError: none appeared, or the run ended before.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            for pid, command in processes_below(self.process.pid):
                if wanted(command):
                    os.kill(pid, signal.SIGKILL)
                    return command
            time.sleep(_POLL_SECONDS)
        raise TimeoutError(f"no such process of the run was seen within {seconds:.0f} s")


def drift_of(run: Run, name: str) -> set[str]:
    """Names of the operations that the engine said it would run, or ran, on one machine."""
    said = [
        event["diagnosticEvent"]["message"]
        for event in run.events
        if event.get("diagnosticEvent", {}).get("urn", "").endswith(f"::{name}")
    ]
    forecasts = [text.partition("operations: ")[2].strip() for text in said if text.startswith("would run")]
    return {operation for text in forecasts for operation in text.split(", ")}


def processes_of_home(home: Path) -> list[int]:
    """Processes of the engine whose home this is, and the host runners, which have an environment of their own."""
    mark = f"PULUMI_HOME={home}".encode()
    runner = re.compile(rb"\0-m\0infra\.hosts\0")
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
                ours = command.startswith(f"{CLONE}/.venv/".encode()) and runner.search(command)
                if command and (ours or mark in (entry / "environ").read_bytes().split(b"\0")):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def processes_below(root: int) -> list[tuple[int, str]]:
    """Process id and command line of every descendant of a process."""
    parents: dict[int, tuple[int, str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:
                continue
            parents[int(entry.name)] = (parent, command)
    found: list[tuple[int, str]] = []
    frontier = {root}
    while frontier:
        below = {pid for pid, (parent, _) in parents.items() if parent in frontier}
        found += [(pid, parents[pid][1]) for pid in sorted(below)]
        frontier = below
    return found


@contextmanager
def running_lab() -> Iterator[Lab]:
    """The lab: what `make up` left, else one that is brought up now and taken down at the end."""
    state = state_folder()
    engine = LabEngine(prepare(), state)
    own = not _is_up(engine)
    if own:
        done = subprocess.run([sys.executable, "-m", "lab", "up"], cwd=CLONE, check=False, timeout=_BOOT_SECONDS)
        assert done.returncode == 0, "the lab did not come up: its output is above"
    try:
        yield Lab(LabFleet.load(STACK, state), engine)
    finally:
        if own:
            subprocess.run([sys.executable, "-m", "lab", "down"], cwd=CLONE, check=True, timeout=_RUN_SECONDS)


def _is_up(engine: LabEngine) -> bool:
    wanted = {committed_stack()["config"]["headframe:control"]["name"]}
    rows = LabFleet.load(STACK, engine.state).status()
    running = {row.host.name for row in rows if row.state is HostState.RUNNING and row.answers_ssh}
    return engine.exists() and wanted <= running

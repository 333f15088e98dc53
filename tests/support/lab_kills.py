"""An engine of the lab that dies in the middle of a run, and what the operator types then."""

from __future__ import annotations

import subprocess
import sys

from lab.fleet.engine import CLONE
from tests.support.engine import eventually
from tests.support.lab import Lab, processes_of_home


def kill_the_engine(lab: Lab, seen: str) -> None:
    """SIGKILL the engine of an update once a process with `seen` in its command line runs; nothing outlives it."""
    with lab.started("up", "--yes", "--skip-preview") as running:
        running.wait_until_seen(seen)
        running.process.kill()
        running.process.wait()
    assert eventually(lambda: processes_of_home(lab.engine.toolchain.home) == []), "orphans"


def recover(lab: Lab) -> None:
    """`headframe recover`: the lock of the dead run goes, and its pending operations."""
    command = [sys.executable, "-m", "infra.cli", "recover"]
    done = subprocess.run(
        command, cwd=CLONE, env=lab.engine.environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr

"""The lab's machines: hosts of the stack file, and the Kubernetes binary that they find in a folder of theirs."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from lab.fleet.engine import committed_stack
from lab.fleet.hotkey import hotkey_address
from lab.fleet.stack import STACK, Generated, lab_hosts
from lab.hosts.fleet import LabFleet
from lab.kubernetes.artifacts import LAB_SOURCE, host_binds
from lab.kubernetes.binary import kubernetes_binary

_TIMEOUT_SECONDS: Final = 30.0


def fleet(state: Path) -> LabFleet:
    """The machines of the committed stack file; builds their Kubernetes where that has not been done."""
    return LabFleet(
        STACK,
        state,
        lab_hosts(committed_stack()),
        binds=host_binds(),
        progress=lambda line: print(f"  {line}"),
    )


def generated(machines: LabFleet) -> Generated:
    """What the booted machines add to the stack file."""
    return Generated(
        host_keys=_host_keys(machines),
        kubernetes_version=_version(kubernetes_binary()),
        kubernetes_source=f"file://{LAB_SOURCE}/k3s",
        hotkey_ss58=hotkey_address(machines.state_folder),
    )


def _host_keys(machines: LabFleet) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in machines.known_hosts.read_text().splitlines():
        names, _, key = line.partition(" ")
        found |= dict.fromkeys(names.split(","), key)
    return {host.name: found[host.name] for host in machines.hosts}


def _version(binary: Path) -> str:
    """The version out of `k3s version v1.34.2+... (...)`."""
    done = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True, timeout=_TIMEOUT_SECONDS)
    return next(word for word in done.stdout.split() if word.startswith("v1."))

"""The tables after `make up`."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lab.engine.toolchain import Toolchain
from lab.fleet.engine import LabEngine
from lab.fleet.summary import endpoints_table, hosts_table, show
from lab.hosts.fleet import LabFleet
from lab.hosts.models import HostState, HostStatus, LabHost

OUTPUTS = {
    "hosts": {
        "control": {"reachable": True, "drift": []},
        "gpu-0": {"reachable": True, "drift": ["base | packages"]},
        "gpu-1": {"reachable": False, "drift": []},
    },
    "clusters": {"control": {"endpoint": "https://198.18.0.11:6443"}},
    "endpoints": {"postgres": "postgres.chutes.svc:5432"},
    "monitoring": {"grafana": "left out: a lab pulls none"},
    "packages": {"postgres": {"reference": "headframe.local/postgres:in-1"}},
}


def text(table: Table) -> str:
    console = Console(file=io.StringIO(), width=140)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def status(name: str, state: HostState = HostState.RUNNING) -> HostStatus:
    return HostStatus(LabHost(name, "198.18.0.11"), state, state is HostState.RUNNING)


def row_of(shown: str, name: str) -> str:
    return next(line for line in shown.splitlines() if f" {name} " in line)


def test_each_host_says_what_the_last_run_found() -> None:
    shown = text(hosts_table([status(name) for name in ("control", "gpu-0", "gpu-1", "gpu-2")], OUTPUTS))
    assert "as declared" in row_of(shown, "control")
    assert "differs: base | packages" in row_of(shown, "gpu-0")
    assert "not reached" in row_of(shown, "gpu-1")
    assert "not converged" in row_of(shown, "gpu-2")


def test_a_stopped_host_is_shown_as_stopped() -> None:
    assert "stopped" in row_of(text(hosts_table([status("gpu-0", HostState.STOPPED)], {})), "gpu-0")


def test_clusters_services_and_images_are_listed() -> None:
    shown = text(endpoints_table(OUTPUTS))
    assert "https://198.18.0.11:6443" in row_of(shown, "cluster")
    assert "postgres.chutes.svc:5432" in row_of(shown, "service")
    assert "left out: a lab pulls none" in row_of(shown, "grafana")
    assert "headframe.local/postgres:in-1" in row_of(shown, "image")


def test_nothing_that_stands_in_for_another_passes_as_that(tmp_path: Path) -> None:
    engine = LabEngine(Toolchain(tmp_path, tmp_path, {"kubernetes": "stand-in of the lab"}), tmp_path)
    console = Console(file=io.StringIO(), width=140)
    show(console, LabFleet("lab", tmp_path, ()), engine)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "stand-in, not k3s" in shown
    assert "GPUs are simulated" in shown
    assert "instead of official plugins: kubernetes" in shown

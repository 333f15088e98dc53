"""What a user wants to see after `make up`: machines, clusters, endpoints, images. Reads; changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from lab.fleet.engine import EngineError, LabEngine
from lab.hosts.fleet import LabFleet
from lab.hosts.models import HostStatus
from lab.kubernetes.binary import STAND_IN_NOTICE

#: Outputs of the stack as JSON.
Outputs = Mapping[str, Any]


def show(console: Console, machines: LabFleet, engine: LabEngine) -> None:
    """Print the tables."""
    outputs = _outputs(engine)
    console.print(hosts_table(machines.status(), outputs))
    console.print(endpoints_table(outputs))
    if engine.toolchain.stand_ins:
        console.print(f"Stand-ins of the lab instead of official plugins: {', '.join(engine.toolchain.stand_ins)}")
    console.print(STAND_IN_NOTICE, soft_wrap=True)
    console.print("GPUs are simulated, and so are their labels.")
    console.print(
        f"ssh -i {machines.private_key} -o UserKnownHostsFile={machines.known_hosts} root@ADDRESS", soft_wrap=True
    )
    console.print('eval "$(make -s env)"   # then pulumi, headframe and helm mean this lab', soft_wrap=True)


def hosts_table(rows: Iterable[HostStatus], outputs: Outputs) -> Table:
    """Machines: what runs, and what the last run of the engine found on each."""
    table = Table("host", "address", "state", "ssh", "cores", "memory", "last run", title="Hosts", title_justify="left")
    for row in rows:
        table.add_row(
            row.host.name,
            row.host.address,
            row.state.value,
            "answers" if row.answers_ssh else "-",
            f"{row.host.cpus:g}",
            f"{row.host.memory_mib} MiB",
            _found(outputs.get("hosts", {}).get(row.host.name)),
        )
    return table


def endpoints_table(outputs: Outputs) -> Table:
    """Clusters, services, monitoring and images by name."""
    table = Table("kind", "name", "where", title="Endpoints", title_justify="left")
    for name, cluster in sorted(outputs.get("clusters", {}).items()):
        table.add_row("cluster", name, cluster["endpoint"])
    for name, endpoint in sorted(outputs.get("endpoints", {}).items()):
        table.add_row("service", name, str(endpoint))
    for name, where in sorted(outputs.get("monitoring", {}).items()):
        table.add_row("monitoring", name, str(where))
    for name, package in sorted(outputs.get("packages", {}).items()):
        table.add_row("image", name, str(package.get("reference", "-")))
    return table


def _found(host: Mapping[str, Any] | None) -> str:
    if host is None:
        return "not converged"
    if not host.get("reachable"):
        return "not reached"
    drift = host.get("drift") or []
    return f"differs: {', '.join(drift)}" if drift else "as declared"


def _outputs(engine: LabEngine) -> Outputs:
    """Outputs without secrets: the engine shows those as [secret]."""
    if not engine.exists():
        return {}
    try:
        found: Outputs = json.loads(engine.quietly("stack", "output", "--json"))
    except EngineError:
        return {}
    return found

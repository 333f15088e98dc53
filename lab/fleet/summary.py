"""What a user wants to see after `make up`: machines, clusters, endpoints. Reads; changes nothing."""

from __future__ import annotations

import json

from rich.console import Console
from rich.table import Table

from lab.fleet.engine import EngineError, LabEngine
from lab.hosts.fleet import LabFleet


def show(console: Console, machines: LabFleet, engine: LabEngine) -> None:
    """Print the tables."""
    console.print(_hosts(machines))
    outputs = _outputs(engine)
    if outputs:
        table = Table("output", "value", title="Stack outputs", title_justify="left")
        for name, value in sorted(outputs.items()):
            table.add_row(name, value if isinstance(value, str) else json.dumps(value, indent=1))
        console.print(table)
    if engine.toolchain.stand_ins:
        console.print(f"Stand-ins of the lab instead of official plugins: {', '.join(engine.toolchain.stand_ins)}")
    console.print(f"ssh -i {machines.private_key} -o UserKnownHostsFile={machines.known_hosts} root@ADDRESS")
    console.print('eval "$(make -s env)"   # then pulumi, headframe and helm mean this lab')


def _hosts(machines: LabFleet) -> Table:
    table = Table("host", "address", "state", "ssh", "processors", "memory", title="Hosts", title_justify="left")
    for row in machines.status():
        table.add_row(
            row.host.name,
            row.host.address,
            row.state.value,
            "answers" if row.answers_ssh else "-",
            f"{row.host.cpus:g}",
            f"{row.host.memory_mib} MiB",
        )
    return table


def _outputs(engine: LabEngine) -> dict[str, object]:
    """Outputs without secrets: the engine shows those as [secret]."""
    if not engine.exists():
        return {}
    try:
        found: dict[str, object] = json.loads(engine.quietly("stack", "output", "--json"))
    except EngineError:
        return {}
    return found

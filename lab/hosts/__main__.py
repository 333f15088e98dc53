"""Lab hosts by hand: `python -m lab.hosts list|boot|stop|wipe [FLEET] [NAME=ADDRESS ...]`.

The lab's own fleet is booted by `make up`; this is for looking and for clearing up.
"""

from __future__ import annotations

import sys
from ipaddress import IPv4Network
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from lab.hosts.fleet import LabFleet
from lab.hosts.models import DEFAULT_NETWORK, LabHost
from lab.hosts.requirements import CannotBootHostsError
from lab.state import state_folder

app = App(name="python -m lab.hosts", help="Boot, list, stop and wipe the lab's hosts.")


def _load(fleet: str) -> LabFleet:
    return LabFleet.load(fleet, state_folder(), progress=print)


@app.command(name="list")
def list_hosts() -> None:
    """List the hosts of every fleet of this clone."""
    table = Table("fleet", "host", "address", "state", "ssh")
    for folder in sorted((state_folder() / "hosts").glob("*")):
        for row in _load(folder.name).status():
            answers = "answers" if row.answers_ssh else "-"
            table.add_row(folder.name, row.host.name, row.host.address, row.state.value, answers)
    Console().print(table)


@app.command
def boot(
    fleet: str = "lab",
    *hosts: str,
    network: Annotated[str, Parameter(help="of the fleet's bridge")] = str(DEFAULT_NETWORK),
) -> None:
    """Boot a fleet again, or one of the hosts given as NAME=ADDRESS."""
    known = _load(fleet)
    if hosts:
        pairs = [host.partition("=") for host in hosts]
        described = tuple(LabHost(name, address) for name, _, address in pairs)
        known = LabFleet(fleet, state_folder(), described, IPv4Network(network), progress=print)
    known.boot()
    print(f"ssh -i {known.private_key} -o UserKnownHostsFile={known.known_hosts} root@ADDRESS")


@app.command
def stop(fleet: str = "lab") -> None:
    """Shut a fleet down; its disks stay."""
    _load(fleet).stop()


@app.command
def wipe(fleet: str = "lab") -> None:
    """End a fleet and delete its disks and keys."""
    _load(fleet).wipe()


if __name__ == "__main__":
    try:
        app()
    except CannotBootHostsError as error:
        sys.exit(str(error))

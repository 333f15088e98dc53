"""One GPU node more in the lab: a machine, one entry in the stack file, and nothing else. Gone when the block ends."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from lab.fleet.engine import read_stack_file, write_stack_file
from lab.hosts.fleet import LabFleet
from lab.hosts.models import LabHost
from tests.support.lab import Lab

_NODES = "headframe:gpu_nodes"


@contextmanager
def further_node(lab: Lab, name: str, address: str) -> Iterator[Lab]:
    """The lab with a booted machine that the stack file lists like its first GPU node; no update has been run.

    At the end the entry is taken out again and the update that follows has succeeded.
    """
    first = next(host for host in lab.fleet.hosts if host.name == lab.gpu_nodes[0])
    fleet = lab.fleet.with_host(replace(first, name=name, address=address))
    before = lab.engine.stack_file.read_text()
    try:
        fleet.boot()
        content = read_stack_file(lab.engine.stack_file)
        entry = copy.deepcopy(content["config"][_NODES][0])
        entry |= {"name": name, "address": address, "ssh": entry["ssh"] | {"host_key": _host_key(fleet, address)}}
        content["config"][_NODES].append(entry)
        write_stack_file(lab.engine.stack_file, content)
        yield replace(lab, fleet=fleet)
    finally:
        lab.engine.stack_file.write_text(before)
        removed = lab.up()
        _wipe(fleet, fleet.hosts[-1])
    assert removed.status == 0, removed.output


def _host_key(fleet: LabFleet, address: str) -> str:
    for line in fleet.known_hosts.read_text().splitlines():
        names, _, key = line.partition(" ")
        if address in names.split(","):
            return key
    raise LookupError(f"{fleet.known_hosts} has no line for {address}")


def _wipe(fleet: LabFleet, host: LabHost) -> None:
    fleet.kill(host.name)
    shutil.rmtree(fleet.folder / "disks" / host.name)

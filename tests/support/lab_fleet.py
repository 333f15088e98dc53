"""A booted fleet of lab hosts for tests of the host tier, on a network of its own; gone when the block ends."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from lab.hosts import remnants
from lab.hosts.cgroups import read_layout
from lab.hosts.fleet import LabFleet
from lab.hosts.models import LabHost
from lab.hosts.network import free_network, occupied_networks
from lab.hosts.requirements import missing


def skip_without_hosts() -> None:
    """Skip the test where this machine cannot boot hosts, with the reason."""
    if lacks := missing():
        pytest.skip("this machine cannot boot lab hosts: " + "; ".join(lacks))


def unused_network() -> IPv4Network:
    """A network that no interface of this machine uses."""
    return free_network(occupied_networks(), first=secrets.randbelow(100))


def describe_fleet(folder: Path, names: tuple[str, ...], binds: Mapping[str, Path] | None = None) -> LabFleet:
    """A fleet with hosts of these names at .11, .12 ... of a free network, not booted yet."""
    network = unused_network()
    hosts = tuple(LabHost(name, str(network.network_address + 11 + index)) for index, name in enumerate(names))
    return LabFleet(f"test-{secrets.token_hex(4)}", folder, hosts, network, binds or {}, progress=print)


@contextmanager
def booted_fleet(folder: Path, names: tuple[str, ...], binds: Mapping[str, Path] | None = None) -> Iterator[LabFleet]:
    """A booted fleet with hosts of these names; wiped at the end, whatever happens in between."""
    skip_without_hosts()
    fleet = describe_fleet(folder, names, binds)
    try:
        fleet.boot()
        yield fleet
    finally:
        fleet.wipe()


def traces(fleet: LabFleet) -> list[str]:
    """Everything on the machine that carries the fleet's name."""
    layout = read_layout()
    assert layout is not None
    names = fleet.names
    found = [f"cgroup {cgroup.name}" for cgroup in remnants.host_cgroups(layout, names)]
    found += [f"interface {path.name}" for path in Path("/sys/class/net").glob(f"*{names.fleet_id}*")]
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if names.cgroup_prefix in line]
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout
    found += [line for line in rules.splitlines() if names.bridge in line]
    found += [str(path) for path in Path("/run/systemd/nspawn").glob(f"*/{names.fleet_id}-*")]
    for command_line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = command_line.read_bytes()
        except OSError:
            continue
        if f"--machine={names.fleet_id}-".encode() in words:
            found.append(words.decode())
    return found

"""A fleet of lab hosts: boot, list, stop, wipe, all hosts at once, each call safe to repeat.

Several fleets run side by side, each with a bridge, a network and names of its own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from lab.hosts import kernel, keys, remnants
from lab.hosts.base import base_root
from lab.hosts.machine import Machine, run_over_ssh, ssh_command
from lab.hosts.models import DEFAULT_NETWORK, FleetNames, HostState, HostStatus, LabHost, check_addresses
from lab.hosts.network import Bridge
from lab.hosts.requirements import layout_of_this_machine, require

#: A busy systemd may lose the cgroup of a unit of the boot while it starts it, and ends it with this status. All such
#: are started again; without the host's first one no kubelet starts.
_LOST_CGROUP: Final = 219
_PREPARED: Final = f"""\
for unit in $(systemctl --failed --no-legend --plain | awk '{{print $1}}'); do
  [ "$(systemctl show --property ExecMainStatus --value "$unit")" != {_LOST_CGROUP} ] || systemctl start "$unit"
done
systemctl is-active -q headframe-lab-host || systemctl restart headframe-lab-host"""


def _silent(message: str) -> None:
    del message


@dataclass(frozen=True)
class LabFleet:
    """Machines of one lab.

    Args:
        name: tells fleets of one state folder apart.
        state_folder: disks and keys; mode 0700, on a file system that can hold an overlay's upper layer.
        hosts: the machines.
        network: bridge and hosts; its first address is the bridge's.
        binds: folders of this machine that every host sees read-only, by their path inside.
        progress: told each step in a line.

    Raises:
        ValueError: names or addresses clash or lie outside the network.
    """

    name: str
    state_folder: Path
    hosts: tuple[LabHost, ...]
    network: IPv4Network = DEFAULT_NETWORK
    binds: Mapping[str, Path] = field(default_factory=dict)
    progress: Callable[[str], None] = _silent

    def __post_init__(self) -> None:
        check_addresses(self.hosts, self.network)

    @property
    def folder(self) -> Path:
        return self.state_folder / "hosts" / self.name

    @property
    def private_key(self) -> Path:
        """SSH key (mode 0600) that every host lets in as root; there after the first boot."""
        return self.folder / "keys" / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The hosts' keys, so that nobody has to trust on first use; there after the first boot."""
        return self.folder / "known_hosts"

    @property
    def names(self) -> FleetNames:
        return FleetNames.of(self.name, self.state_folder)

    @classmethod
    def load(cls, name: str, state_folder: Path, progress: Callable[[str], None] = _silent) -> LabFleet:
        """The fleet as it was last booted, read from its hosts' disks; without hosts where there are none."""
        described = [
            json.loads(file.read_text())
            for file in sorted((state_folder / "hosts" / name / "disks").glob("*/host.json"))
        ]
        network = IPv4Network(described[0]["network"]) if described else DEFAULT_NETWORK
        binds = {inside: Path(outside) for each in described for inside, outside in each["binds"].items()}
        return cls(name, state_folder, tuple(LabHost(**each["host"]) for each in described), network, binds, progress)

    def with_host(self, host: LabHost) -> LabFleet:
        """The fleet with one host more; boot it to start that one beside those that run."""
        return replace(self, hosts=(*self.hosts, host))

    def boot(self) -> None:
        """Start every host that does not run, and wait until all answer over SSH. Remnants are cleared first.

        Raises:
            CannotBootHostsError: the machine cannot; says what would be needed.
            NetworkInUseError: something alive uses the network.
            ExceptionGroup: some hosts failed; the others run.
        """
        layout = require()
        for bridge in remnants.free_the_network(layout, self.names, self.network):
            self.progress(f"cleared what a dead fleet had left ({bridge})")
        base = base_root(self.progress)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
        authorized = keys.public_key(keys.key_pair(self.private_key, f"headframe-lab-{self.name}"))
        host_keys = {host: keys.key_pair(self.folder / "keys" / f"host-{host.name}", host.name) for host in self.hosts}
        self.known_hosts.write_text(keys.known_hosts(host_keys))
        kernel.raise_settings(kernel.NEEDED)
        bridge_of_fleet = Bridge(self.names.bridge, self.network)
        bridge_of_fleet.ensure()

        def boot_one(machine: Machine) -> None:
            machine.boot(base, authorized, host_keys[machine.host], bridge_of_fleet.name)
            self.ssh(machine.host.name, _PREPARED)
            self.progress(f"{machine.host.name} answers on {machine.host.address}")

        self._each(boot_one, self._machines())

    def stop(self) -> None:
        """Shut every host down in order and take the bridge away; disks and keys stay for the next boot."""
        layout = layout_of_this_machine()
        self._each(Machine.power_off, self._machines())
        remnants.clear(layout, self.names, self.network)

    def wipe(self) -> None:
        """Cut the power of every host, also of those no longer declared, and delete disks and keys."""
        layout = layout_of_this_machine()
        remnants.clear(layout, self.names, self.network)
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.progress(f"fleet {self.name} is gone")

    def kill(self, name: str) -> None:
        """Cut one host's power. Its disk stays: boot starts it again."""
        self._machine(name).clear()

    def status(self) -> list[HostStatus]:
        """What each declared host is doing now."""
        return [
            HostStatus(machine.host, machine.state(), machine.state() is HostState.RUNNING and machine.answers_ssh())
            for machine in self._machines()
        ]

    def ssh(self, name: str, command: str, timeout_seconds: float = 60.0) -> str:
        """Standard output of a shell command run as root on one host. Raises CommandError where it fails."""
        client = ssh_command(self._machine(name).host, self.private_key, self.known_hosts)
        return run_over_ssh(client, command, timeout_seconds)

    def wait_for_ssh(self, name: str) -> None:
        """Wait until one host answers, as after a reboot. Raises RuntimeError where it does not."""
        self._machine(name).wait_for_ssh()

    def _machine(self, name: str) -> Machine:
        for machine in self._machines():
            if machine.host.name == name:
                return machine
        raise ValueError(f"fleet {self.name} has no host {name}: it has {', '.join(host.name for host in self.hosts)}")

    def _machines(self) -> list[Machine]:
        layout = layout_of_this_machine()
        return [
            Machine(host, self.names, layout, self.network, self.folder / "disks" / host.name, self.binds)
            for host in self.hosts
        ]

    @staticmethod
    def _each(act: Callable[[Machine], None], machines: Sequence[Machine]) -> None:
        if not machines:
            return
        with ThreadPoolExecutor(max_workers=len(machines)) as pool:
            futures = [pool.submit(act, machine) for machine in machines]
        errors = [error for future in futures if isinstance(error := future.exception(), Exception)]
        if errors:
            raise ExceptionGroup("lab hosts failed", errors)

"""One lab host: its disk, its start, its end. Knows nothing of other hosts.

Whether it runs is asked of the kernel each time, never of a file: a run that was killed leaves no lie behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from lab.hosts.cgroups import CgroupLayout, HostCgroup
from lab.hosts.commands import run
from lab.hosts.disk import Disk, remove_nspawn_folders
from lab.hosts.models import FleetNames, HostState, LabHost, gateway_of
from lab.hosts.network import interface_exists, remove_cable

SSH_TIMEOUT_SECONDS: Final = 90.0
_FIRST_TRY_SECONDS: Final = 30.0
_POWER_OFF_TIMEOUT_SECONDS: Final = 40.0
_START_TIMEOUT_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.1
_LOG_TAIL_CHARACTERS: Final = 2000
#: Exit status of systemd-nspawn that asks for another start: the guest said reboot.
_REBOOT_STATUS: Final = 133
# Starts systemd-nspawn in the host's cgroups, and again for as long as the guest reboots. Stays outside them itself: a
# version 2 cgroup that hands controllers down may hold no process.
_SUPERVISOR: Final = f"""
while :; do
    sh -c 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs" || exit 1; shift; done; shift; exec "$@"' enter "$@"
    status=$?
    [ $status = {_REBOOT_STATUS} ] || exit $status
done
"""


@dataclass(frozen=True)
class Machine:
    """One lab host on this machine.

    Args:
        binds: folders of this machine that the host sees read-only, by their path inside.
    """

    host: LabHost
    names: FleetNames
    layout: CgroupLayout
    network: IPv4Network
    folder: Path
    binds: Mapping[str, Path]

    @property
    def disk(self) -> Disk:
        return Disk(self.folder, self.names.mount_source(self.host.name))

    @property
    def cgroup(self) -> HostCgroup:
        return HostCgroup(self.layout, self.names.cgroup(self.host.name))

    @property
    def console_log(self) -> Path:
        return self.folder / "console.log"

    def supervisor(self) -> int | None:
        """Process id of the running systemd-nspawn of this host."""
        wanted = f"--machine={self.names.machine(self.host.name)}".encode()
        for pid in self.cgroup.pids():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if words[0].endswith(b"systemd-nspawn") and wanted in words:
                    return pid
        return None

    def state(self) -> HostState:
        if self.supervisor() is not None:
            return HostState.RUNNING
        if self.cgroup.exists or self.disk.is_mounted or interface_exists(self.names.cable(self.host.name)):
            return HostState.REMNANTS
        return HostState.STOPPED if self.folder.exists() else HostState.ABSENT

    def boot(self, base: Path, authorized_key: str, host_key: Path, bridge: str) -> None:
        """Start the host if it does not run as described, and wait until its SSH port answers.

        Once more where it does not: a busy machine loses one boot in some hundreds, by a unit that lost its cgroup.

        Raises:
            RuntimeError: it ended or did not answer in time; the message holds the end of its console.
        """
        if self.state() is HostState.RUNNING:
            if self._description_on_disk() == self._description():
                self.wait_for_ssh()
                return
            self.power_off()

        def switch_on() -> None:
            self.clear()
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.disk.mount(base)
            self._write_identity(authorized_key, host_key)
            self.cgroup.create()
            self._start(bridge)

        switch_on()
        try:
            self.wait_for_ssh(_FIRST_TRY_SECONDS)
        except RuntimeError:
            switch_on()
            self.wait_for_ssh()

    def power_off(self) -> None:
        """Shut down in order; after 40 s the power is cut. The disk stays."""
        supervisor = self.supervisor()
        if supervisor is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(supervisor, signal.SIGTERM)
            deadline = time.monotonic() + _POWER_OFF_TIMEOUT_SECONDS
            while self.supervisor() is not None and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
        self.clear()

    def clear(self) -> None:
        """Cut the power and take away all that is left on the machine but the disk."""
        self.cgroup.kill()
        remove_cable(self.names.cable(self.host.name))
        self.disk.unmount()
        self.cgroup.remove()
        remove_nspawn_folders(self.names.machine(self.host.name))

    def wipe(self) -> None:
        """Cut the power and delete the disk."""
        self.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def answers_ssh(self) -> bool:
        """Whether an SSH server greets on the host's address."""
        try:
            with socket.create_connection((self.host.address, 22), timeout=1) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def wait_for_ssh(self, patience_seconds: float = SSH_TIMEOUT_SECONDS) -> None:
        """Wait until the host answers.

        Raises:
            RuntimeError: it ended or did not answer in time.
        """
        start = time.monotonic()
        while not self.answers_ssh():
            waited = time.monotonic() - start
            ended = waited > _START_TIMEOUT_SECONDS and not self.cgroup.pids()
            if ended or waited > patience_seconds:
                tail = self.console_log.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:]
                raise RuntimeError(f"lab host {self.host.name} did not answer on {self.host.address}:22\n{tail}")
            time.sleep(_POLL_SECONDS)

    def _description(self) -> str:
        binds = {inside: str(outside) for inside, outside in self.binds.items()}
        return json.dumps({"host": asdict(self.host), "network": str(self.network), "binds": binds}, sort_keys=True)

    def _description_on_disk(self) -> str | None:
        file = self.folder / "host.json"
        return file.read_text() if file.exists() else None

    def _write_identity(self, authorized_key: str, host_key: Path) -> None:
        gateway = gateway_of(self.network)
        disk = self.disk
        (self.folder / "host.json").write_text(self._description())
        disk.write("etc/hostname", f"{self.host.name}\n")
        disk.write("etc/hosts", f"127.0.0.1 localhost\n{self.host.address} {self.host.name}\n")
        machine_id = self.folder / "machine-id"
        if not machine_id.exists():
            machine_id.write_text(f"{secrets.token_hex(16)}\n")
        disk.write("etc/machine-id", machine_id.read_text())
        disk.write("etc/resolv.conf", _resolvers())
        disk.write(
            # Sorts before systemd's own 80-container-host0.network, which would ask DHCP.
            "etc/systemd/network/10-headframe-lab.network",
            f"[Match]\nName=host0\n[Network]\nAddress={self.host.address}/{self.network.prefixlen}\n"
            f"Gateway={gateway}\nLinkLocalAddressing=no\n",
        )
        disk.write("root/.ssh/authorized_keys", f"{authorized_key}\n", 0o600)
        disk.write("etc/ssh/ssh_host_ed25519_key", host_key.read_text(), 0o600)
        # Read by the lab's Kubernetes, which lets pods have no more than this.
        capacity = {"cpus": self.host.cpus, "memory_mib": self.host.memory_mib}
        disk.write("etc/headframe-lab/capacity.json", f"{json.dumps(capacity)}\n")

    def _start(self, bridge: str) -> None:
        nspawn = [
            "systemd-nspawn",
            "--quiet",
            "--boot",
            "--register=no",
            "--keep-unit",
            f"--machine={self.names.machine(self.host.name)}",
            f"--hostname={self.host.name}",
            f"--directory={self.disk.root}",
            f"--network-bridge={bridge}",
            "--capability=all",
            "--system-call-filter=add_key keyctl bpf perf_event_open",
            # containerd's overlays cannot lie on the host's own overlay.
            f"--bind={self.disk.data}:/var/lib/rancher",
            *(f"--bind-ro={outside}:{inside}" for inside, outside in self.binds.items()),
            "--link-journal=no",
            "--console=pipe",
            "--resolv-conf=off",
            "--timezone=off",
        ]
        environment = {
            **os.environ,
            **self.layout.nspawn_environment,
            "SYSTEMD_NSPAWN_LOCK": "0",
            "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "1",
        }
        folders = [str(folder) for folder in self.cgroup.folders]
        with self.console_log.open("ab") as console:
            subprocess.run(
                # A session of its own: the host lives on when the command that booted it ends.
                ["setsid", "--fork", "/bin/sh", "-c", _SUPERVISOR, "headframe-lab-host", *folders, "--", *nspawn],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                check=True,
                timeout=_START_TIMEOUT_SECONDS,
            )


def _resolvers() -> str:
    """The machine's name servers as a host can reach them: its local stub cannot be reached from outside."""
    for file in (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")):
        if file.exists():
            lines = [line for line in file.read_text().splitlines() if line.startswith("nameserver ")]
            lines = [line for line in lines if not line.split()[1].startswith("127.")]
            if lines:
                return "\n".join(lines) + "\n"
    return ""


def ssh_command(host: LabHost, private_key: Path, known_hosts: Path) -> list[str]:
    """The ssh client's command line for one host; append the command to run there."""
    options = ["BatchMode=yes", "ConnectTimeout=10", "StrictHostKeyChecking=yes", f"UserKnownHostsFile={known_hosts}"]
    return ["ssh", "-q", "-i", str(private_key), *(word for o in options for word in ("-o", o)), f"root@{host.address}"]


def run_over_ssh(command: list[str], remote: str, timeout_seconds: float) -> str:
    """Standard output of a shell command on a host. Raises CommandError where it fails."""
    return run(*command, remote, timeout_seconds=timeout_seconds)

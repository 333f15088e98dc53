"""PostgreSQL of the control cluster, reached over SSH and the cluster's own exec; nothing is opened to the network."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.protocol.labels import CHUTES_NAMESPACE
from infra.cli.backup.database import DatabaseError, Server
from infra.components.databases import DATABASE_NAME
from infra.images.catalogue import POSTGRES
from infra.images.files.postgres import SOCKETS, SUPERUSER
from infra.spec import HostRole, HostSpec

_TIMEOUT_SECONDS: Final = 3600.0
_POD: Final = "postgres-0"
#: A machine silent for so long is gone; without this a dead one would hold a command for an hour.
_SILENCE_SECONDS: Final = 60
_SILENCES: Final = 4


@contextmanager
def database_of(machines: Sequence[HostSpec]) -> Iterator[Server]:
    """The server on the control host among these machines.

    Raises:
        DatabaseError: there is no control host in the stack.
    """
    control = next((machine for machine in machines if machine.role is HostRole.CONTROL), None)
    if control is None:
        raise DatabaseError("the stack has no control host yet: pulumi up")
    with tempfile.TemporaryDirectory(prefix="headframe-") as folder:
        base = ssh_command(control, Path(folder))

        def run(command: Sequence[str], stdin: bytes) -> bytes:
            return over_ssh(base, in_pod(command, sudo=control.user != "root"), stdin)

        yield Server(
            run=run,
            binaries=f"{POSTGRES.environment['PGBIN']}/",
            connection=("-h", SOCKETS, "-U", SUPERUSER),
            database=DATABASE_NAME,
        )


def ssh_command(machine: HostSpec, folder: Path) -> list[str]:
    """How OpenSSH reaches the machine: with its pinned key, and with ours from a file that only we can read."""
    key, known = folder / "key", folder / "known_hosts"
    for path, text in ((key, machine.private_key.get_secret_value()), (known, f"* {machine.host_key}")):
        path.touch(mode=0o600)
        path.write_text(text if text.endswith("\n") else f"{text}\n")
    return [
        "ssh", "-i", str(key), "-p", str(machine.port), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
        "-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes", "-o", "LogLevel=ERROR",
        "-o", f"ConnectTimeout={machine.connect_timeout_seconds}",
        "-o", f"ServerAliveInterval={_SILENCE_SECONDS // _SILENCES}", "-o", f"ServerAliveCountMax={_SILENCES}",
        f"{machine.user}@{machine.host}",
    ]  # fmt: skip


def in_pod(command: Sequence[str], *, sudo: bool) -> str:
    """The command as the control host's shell runs it in the server's pod."""
    kubectl = "kubectl --kubeconfig /etc/rancher/k3s/k3s.yaml"
    prefix = "sudo -n " if sudo else ""
    return f"{prefix}/usr/local/bin/k3s {kubectl} -n {CHUTES_NAMESPACE} exec -i {_POD} -- {shlex.join(command)}"


def over_ssh(base: Sequence[str], command: str, stdin: bytes) -> bytes:
    """Standard output of a remote command.

    Raises:
        DatabaseError: it failed or took too long.
    """
    try:
        done = subprocess.run([*base, command], input=stdin, capture_output=True, check=False, timeout=_TIMEOUT_SECONDS)
    except FileNotFoundError:
        raise DatabaseError("ssh is not on PATH: apt install openssh-client") from None
    except subprocess.TimeoutExpired:
        raise DatabaseError(f"the control host took more than {_TIMEOUT_SECONDS:.0f} s") from None
    if done.returncode:
        raise DatabaseError(f"PostgreSQL on the control host: {done.stderr.decode(errors='replace').strip()[-1000:]}")
    return done.stdout

"""One run at a time changes a machine: a lock on the machine itself, which ends with the connection that took it, and
soon after a holder that vanished without closing it.

Two operators, or an act beside a `pulumi up`, would otherwise undo each other's half-done work.
"""

from __future__ import annotations

import getpass
import os
import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import gevent
import paramiko
from pyinfra.api.host import Host
from pyinfra.connectors.ssh import SSHConnector

from infra.hosts.failures import OperationFailedError
from infra.spec import HostSpec

_WAIT_SECONDS: Final = 60
_MARGIN_SECONDS: Final = 15.0
_HELD: Final = "held"
_BEAT_SECONDS: Final = 20.0
#: Silence after which the machine takes the holder for gone.
_SILENCE_SECONDS: Final = 120


@contextmanager
def alone_on(host: Host, spec: HostSpec) -> Iterator[None]:
    """Keep others from changing the machine meanwhile. Waits up to a minute for one that is at it.

    Raises:
        OperationFailedError: it is still at it; the message names who.
    """
    client = host.connector.client if isinstance(host.connector, SSHConnector) else None
    if client is None:  # no machine
        yield
        return
    command = lock_script(spec.name, _WAIT_SECONDS, whoami())
    prefix = "" if spec.user == "root" else "sudo -n "
    patience_seconds = _WAIT_SECONDS + _MARGIN_SECONDS
    stdin, stdout, _ = client.exec_command(f"{prefix}sh -c {shlex.quote(command)}", timeout=patience_seconds)
    try:
        answer = stdout.readline().strip()
    except (paramiko.SSHException, OSError, EOFError):
        answer = ""
    if answer != _HELD:
        raise OperationFailedError(
            f"{spec.name} is being changed by {answer or 'somebody else'}, for more than {_WAIT_SECONDS} s: wait until "
            "that is done, or end it",
            operation="preflight",
        )
    beating = gevent.spawn(_beat, stdin)
    try:
        yield
    finally:
        beating.kill()
        stdin.channel.close()


def _beat(stdin: paramiko.ChannelFile) -> None:
    while True:
        gevent.sleep(_BEAT_SECONDS)
        try:
            stdin.write(b"\n")
            stdin.flush()
        except (paramiko.SSHException, OSError, EOFError):
            return  # the connection is lost, and the lock with it


def lock_script(name: str, wait_seconds: int, who: str, silence_seconds: float = _SILENCE_SECONDS) -> str:
    """Shell: prints `held` and keeps the lock until its input closes or falls silent, or prints who has it."""
    file = f"/run/headframe-{name}.lock"
    return f"""\
exec 9>>{file}
flock -w {wait_seconds} 9 || {{ cat {file}; exit 1; }}
printf '%s\\n' {shlex.quote(who)} > {file}; echo {_HELD}
exec bash -c 'while read -r -t {silence_seconds}; do :; done'"""


def whoami() -> str:
    """Who runs this, for others to read."""
    return f"{getpass.getuser()}@{socket.gethostname()}, process {os.getpid()}"


def is_connected(host: Host) -> bool:
    """Whether the connection still stands; one that is lost explains every other failure."""
    client = host.connector.client if isinstance(host.connector, SSHConnector) else None
    if client is None:
        return True
    transport = client.get_transport()
    return transport is not None and transport.is_active()

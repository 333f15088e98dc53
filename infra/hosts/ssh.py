"""How a spec becomes an SSH connection: key in memory, host key pinned, small packets sent at once."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import paramiko

from infra.hosts.failures import CannotConnectError
from infra.spec import HostSpec

#: pyinfra looks keys up by file name and keeps what it has loaded; under this name lies the key of the spec.
_KEY_IN_MEMORY: Final = "private key of the spec"
_KEY_TYPES: Final = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
#: A machine silent for so long is gone; without this a dead one would hold the run for a quarter of an hour.
_SILENCE_SECONDS: Final = 60


@contextmanager
def known_hosts(spec: HostSpec) -> Iterator[Path]:
    """A known_hosts file that names this machine alone, for the length of a run.

    It lies in memory: a run that is killed, as every interrupted update kills some, would leave one on the disk.
    """
    name = spec.host if spec.port == 22 else f"[{spec.host}]:{spec.port}"
    with os.fdopen(os.memfd_create("known_hosts"), "w") as file:
        file.write(f"{name} {' '.join(spec.host_key.split()[:2])}\n")
        file.flush()
        yield Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")


def connector_data(spec: HostSpec, known_hosts_file: Path) -> dict[str, Any]:
    """Host data for pyinfra's SSH connector. The operator's own SSH configuration has no say."""
    return {
        "ssh_hostname": spec.host,
        "ssh_port": spec.port,
        "ssh_user": spec.user,
        "ssh_key": _KEY_IN_MEMORY,
        "ssh_config_file": "/dev/null",
        "ssh_known_hosts_file": str(known_hosts_file),
        "ssh_strict_host_key_checking": "yes",
        "ssh_paramiko_connect_kwargs": {
            "transport_factory": low_latency_transport,
            "banner_timeout": spec.connect_timeout_seconds,
            "auth_timeout": spec.connect_timeout_seconds,
        },
    }


def private_keys(spec: HostSpec) -> dict[str, paramiko.PKey]:
    """What pyinfra shall find when it looks for the key.

    Raises:
        CannotConnectError: not a private key in OpenSSH or PEM format, or one with a passphrase.
    """
    text = spec.private_key.get_secret_value()
    text = text if text.endswith("\n") else f"{text}\n"
    for kind in _KEY_TYPES:
        try:
            return {_KEY_IN_MEMORY: kind.from_private_key(io.StringIO(text))}
        except paramiko.PasswordRequiredException:
            raise CannotConnectError("the SSH key has a passphrase: make one without, for this fleet alone") from None
        except (paramiko.SSHException, ValueError, IndexError):
            continue
    raise CannotConnectError("the SSH private key is not readable: wanted OpenSSH or PEM format, ed25519, ECDSA or RSA")


def public_key(spec: HostSpec) -> str:
    """Type and base64 of the key that the runner logs in with.

    Raises:
        CannotConnectError: as `private_keys`.
    """
    key = private_keys(spec)[_KEY_IN_MEMORY]
    return f"{key.get_name()} {key.get_base64()}"


def low_latency_transport(sock: socket.socket, **options: Any) -> paramiko.Transport:
    """A transport without Nagle's delay (planning is 12 times faster on a LAN) that notices a dead machine."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENCE_SECONDS * 1000)
    transport = paramiko.Transport(sock, **options)
    transport.set_keepalive(_SILENCE_SECONDS // 4)
    return transport

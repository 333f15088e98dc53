"""The echo on the control host: it tells a caller the address that the call comes from, and nothing else.

Validators compare a machine's egress with its ingress; only another machine can see the former. systemd answers for it:
no program of ours listens.
"""

from __future__ import annotations

from typing import Final

from pyinfra.api.deploy import deploy

from infra.hosts.operations import files, services
from infra.spec import EchoSpec, HostRole, HostSpec

UNIT: Final = "headframe-echo.socket"
_SOCKET_FILE: Final = f"/etc/systemd/system/{UNIT}"
_SERVICE_FILE: Final = "/etc/systemd/system/headframe-echo@.service"
_SERVICE: Final = """\
[Unit]
Description=headframe: one answer of the echo
[Service]
ExecStart=/bin/echo ${REMOTE_ADDR}
StandardInput=null
StandardOutput=socket
User=nobody
NoNewPrivileges=yes
RuntimeMaxSec=5
"""


@deploy("echo")
def echo(spec: HostSpec) -> None:
    """The control host answers; other machines ask it and have none of their own."""
    if spec.role is not HostRole.CONTROL or spec.echo is None:
        return
    socket = socket_unit(spec.echo)
    written = (
        files.content(name="answer", path=_SERVICE_FILE, text=_SERVICE, stamp=UNIT),
        files.content(name="socket", path=_SOCKET_FILE, text=socket, stamp=UNIT),
    )
    services.runs_with(name="echo answers", unit=UNIT, digest=services.digest_of(socket, _SERVICE), after=written)


@deploy("echo")
def no_echo() -> None:
    """Nothing listens any more."""
    services.state(name="echo is off", unit=UNIT, running=False, enabled=False)
    for path in (_SOCKET_FILE, _SERVICE_FILE):
        files.absent(name=f"no {path}", path=path, stamp=UNIT)


def socket_unit(echo: EchoSpec) -> str:
    """Anybody may ask: a machine that leaves by another address than its own must be heard too. Few at once."""
    return f"""\
[Unit]
Description=headframe: tells callers the address that they come from
[Socket]
ListenStream=0.0.0.0:{echo.port}
Accept=yes
MaxConnections=64
MaxConnectionsPerSource=8
[Install]
WantedBy=sockets.target
"""

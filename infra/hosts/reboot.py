"""Reboots a machine and waits for it by the clock.

pyinfra's own operation counts tries, each of which may take the whole connection timeout.
"""

from __future__ import annotations

import time
from typing import Final

import paramiko
from pyinfra.api import Host, State, StringCommand
from pyinfra.api.exceptions import ConnectError

_POLL_SECONDS: Final = 1.0
_BOOT_ID: Final = "cat /proc/sys/kernel/random/boot_id; cut -d' ' -f22 /proc/1/stat"


def reboot_and_wait(state: State, host: Host, deadline_seconds: float, unless: str = "false") -> bool:
    """Whether the machine came back from a reboot in time; nothing is done where the condition `unless` holds.

    A boot is told by the kernel's boot id together with the start time of process 1, which also changes in a
    container, whose kernel goes on.
    """
    if _run(host, unless)[0]:
        return True
    known, before = _run(host, _BOOT_ID)
    if not known or not _run(host, "systemd-run --quiet --on-active=1 systemctl reboot")[0]:
        host.log_styled("the machine takes no order to reboot: `systemctl --failed` on it may show why", fg="red")
        return False
    began = time.monotonic()
    while time.monotonic() - began < deadline_seconds:
        time.sleep(_POLL_SECONDS)
        try:
            connector = type(host.connector)(state, host)
            connector.connect()
            host.connector = connector
            reached, now = _run(host, _BOOT_ID)
        except (ConnectError, paramiko.SSHException, OSError, EOFError):
            continue  # also where it took the connection and then went down
        if reached and now != before:
            return True
    host.log_styled(f"the machine did not come back within {deadline_seconds:.0f} s", fg="red")
    return False


def _run(host: Host, command: str) -> tuple[bool, str]:
    status, output = host.run_shell_command(StringCommand(command), print_output=False, print_input=False)
    return status, output.stdout

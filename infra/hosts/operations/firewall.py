"""Applies a firewall that takes itself back unless a fresh SSH connection gets through it."""

from __future__ import annotations

import hashlib

from pyinfra import host
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation
from pyinfra.api.exceptions import ConnectError

from infra.hosts.facts.shell import Holds, Printed
from infra.hosts.operations.commands import Commands
from infra.hosts.paths import FIREWALL_RULES, FIREWALL_UNIT, STAMPS, STATE

_CANDIDATE = f"{STATE}/firewall.candidate"
_STAMP = f"{STAMPS}/firewall"
_ROLLBACK = "headframe-firewall-rollback"
_LIVE = "nft -s list table inet headframe 2>/dev/null | sha256sum | cut -d' ' -f1"
UNIT = f"""\
[Unit]
Description=headframe firewall
Before=network-pre.target k3s.service
# Debian's own flushes every table, ours included, when it starts.
After=nftables.service
Wants=network-pre.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f {FIREWALL_RULES}
[Install]
WantedBy=multi-user.target
"""


@operation()
def other_tools_off() -> Commands:
    """ufw and firewalld are off: a packet must pass every table, so theirs could shut what ours opens."""
    running = "for unit in ufw firewalld; do systemctl is-active -q $unit && echo $unit; done"
    units = host.get_fact(Printed, running)
    if not units:
        host.noop("no other firewall runs")
        return
    if "ufw" in units:
        yield StringCommand("ufw --force disable")
    for unit in units:
        yield StringCommand(f"systemctl disable --now {unit}")


@operation()
def confirmed(ruleset: str, rollback_seconds: int) -> Commands:
    """The rules are in the kernel and survive a reboot. They are kept only once a new SSH connection got through.

    The stamp holds two digests: of the rules wanted, and of the table as the kernel lists it, so that a rule that was
    added or taken away by hand is seen.
    """
    wanted = hashlib.sha256(ruleset.encode()).hexdigest()
    seen = host.get_fact(
        Printed,
        f"cat {_STAMP} 2>/dev/null || echo none; {_LIVE}; sha256sum < {FIREWALL_RULES} 2>/dev/null; "
        f"sha256sum < {FIREWALL_UNIT} 2>/dev/null",
    )
    files = [wanted, hashlib.sha256(UNIT.encode()).hexdigest()]
    kept = len(seen) == 4 and seen[0] == f"{wanted} {seen[1]}" and [line.split()[0] for line in seen[2:]] == files
    if kept and host.get_fact(Holds, "systemctl is-enabled -q headframe-firewall.service"):
        host.noop("the firewall is as wanted")
        return
    yield StringCommand(
        f"mkdir -p {STATE} {STAMPS} && rm -f {_STAMP} && umask 077 && cat > {_CANDIDATE}", _stdin=ruleset
    )
    yield StringCommand(f"nft -c -f {_CANDIDATE}")
    undo = f"if [ -e {FIREWALL_RULES} ]; then nft -f {FIREWALL_RULES}; else nft delete table inet headframe; fi"
    yield StringCommand(
        f"systemctl stop {_ROLLBACK}.timer 2>/dev/null; systemctl reset-failed {_ROLLBACK}.service 2>/dev/null; "
        # Without the accuracy systemd may let a timer wait a minute longer.
        f"systemd-run --quiet --on-active={rollback_seconds} --timer-property=AccuracySec=1s "
        f"--unit={_ROLLBACK} /bin/sh -c {_quoted(undo)}"
    )
    yield StringCommand(f"nft -f {_CANDIDATE}")
    yield FunctionCommand(_connect_afresh, [], {})
    yield StringCommand(f"systemctl stop {_ROLLBACK}.timer")
    yield StringCommand(f"install -D -m 600 {_CANDIDATE} {FIREWALL_RULES} && rm -f {_CANDIDATE}")
    yield StringCommand(f"cat > {FIREWALL_UNIT}", _stdin=UNIT)
    yield StringCommand("systemctl daemon-reload && systemctl enable -q headframe-firewall.service")
    yield StringCommand(f'echo "{wanted} $({_LIVE})" > {_STAMP}')


@operation()
def absent() -> Commands:
    """Our table is gone, now and at the next boot."""
    if not host.get_fact(Holds, f"nft list table inet headframe >/dev/null 2>&1 || [ -e {FIREWALL_RULES} ]"):
        host.noop("no firewall of ours")
        return
    yield StringCommand("systemctl disable -q headframe-firewall.service 2>/dev/null || true")
    yield StringCommand("nft delete table inet headframe 2>/dev/null || true")
    yield StringCommand(f"rm -f {FIREWALL_RULES} {FIREWALL_UNIT} {_STAMP} && systemctl daemon-reload")


def _connect_afresh(state: State, host: Host) -> bool:
    """Whether a new connection gets through the new rules; the old one passes as established and proves nothing."""
    connector = type(host.connector)(state, host)
    try:
        connector.connect()
        status, _ = connector.run_shell_command(StringCommand("true"), print_output=False, print_input=False)
    except ConnectError as error:
        host.log_styled(f"the new firewall shuts us out and is taken back: {error}", fg="red")
        return False
    return status


def _quoted(script: str) -> str:
    return f"'{script}'"

"""Operations that act every time: nothing about a machine says whether somebody wants it rebooted."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import FunctionCommand, StringCommand, operation

from infra.hosts.disruption import drain_script, return_script
from infra.hosts.facts.shell import Holds
from infra.hosts.lease import FILE, clear_script
from infra.hosts.operations.commands import Commands
from infra.hosts.reboot import reboot_and_wait


@operation()
def lease_freed() -> Commands:
    """Nobody holds the lease. For an operator who has looked at the machine that froze it."""
    if not host.get_fact(Holds, f"[ -s {FILE} ]"):
        host.noop("the lease is free")
        return
    yield StringCommand(clear_script())


@operation(is_idempotent=False)
def drained(node: str, patience_seconds: int) -> Commands:
    """No pod comes to the node, and its chutes have ended."""
    yield StringCommand(drain_script(node, patience_seconds))


@operation(is_idempotent=False)
def opened(node: str) -> Commands:
    """The node is Ready and takes pods."""
    yield StringCommand(return_script(node))


@operation(is_idempotent=False)
def restarted() -> Commands:
    """k3s starts anew; pods go on."""
    yield StringCommand("systemctl restart --no-block k3s && sleep 2")


@operation(is_idempotent=False)
def rebooted(deadline_seconds: int) -> Commands:
    """The machine boots anew and answers again."""
    yield FunctionCommand(reboot_and_wait, [], {"deadline_seconds": deadline_seconds})

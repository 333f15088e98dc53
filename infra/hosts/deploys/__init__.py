"""What a machine is made of. A deploy turns spec and facts into operations, each of them named; order matters."""

from __future__ import annotations

from typing import Final

from infra.hosts.deploys.acts import act, recover
from infra.hosts.deploys.base import base
from infra.hosts.deploys.control_tools import control_tools, no_control_tools
from infra.hosts.deploys.echo import echo, no_echo
from infra.hosts.deploys.firewall import firewall
from infra.hosts.deploys.k3s import k3s
from infra.hosts.deploys.leave import stop, wipe
from infra.hosts.deploys.nvidia import SKIPPED, nvidia
from infra.hosts.deploys.storage import storage
from infra.hosts.deploys.system import machine
from infra.hosts.deploys.users import users
from infra.spec import HostFacts, HostRole, HostScope, HostSpec, Verb

_LEAVING: Final = frozenset({Verb.STOP, Verb.WIPE})


def declare(verb: Verb, spec: HostSpec, facts: HostFacts) -> None:
    """Declare the operations of a verb on the current pyinfra host, in the order in which a machine is built
    (spec: infra 17.2)."""
    if verb in {Verb.DRAIN, Verb.OPEN, Verb.RESTART, Verb.REBOOT}:
        act(verb=verb, spec=spec)
        return
    if verb is Verb.RECOVER:
        recover()
        return
    if spec.scope is HostScope.TOOLS:
        no_control_tools() if verb in _LEAVING else control_tools(spec=spec)
        return
    if verb in _LEAVING:
        stop()
        if spec.role is HostRole.CONTROL:
            no_echo()
        if verb is Verb.WIPE:
            wipe()
        return
    users(spec=spec)
    storage(spec=spec)  # before anything writes to what it mounts
    base(spec=spec)
    machine(spec=spec)
    firewall(spec=spec)
    echo(spec=spec)
    nvidia(spec=spec)
    k3s(spec=spec, facts=facts)


def notes(spec: HostSpec, facts: HostFacts) -> tuple[str, ...]:
    """What an operator should know and no operation says."""
    found = [SKIPPED] if spec.nvidia is not None and spec.nvidia.simulated else []
    if facts.pending_security_updates:
        found.append(f"{facts.pending_security_updates} security updates are pending: plan a maintenance for them")
    if facts.reboot_required:
        found.append("a package wants a reboot: `headframe reboot` does it one machine at a time, with drain")
    return tuple(found)

"""Acts on a live machine, which have no declared state: drain, open, restart, reboot."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from infra.hosts.operations import acts, k3s
from infra.spec import HostSpec, Verb


@deploy("lease")
def recover() -> None:
    """The lease that this machine keeps is free."""
    acts.lease_freed(name="freed")


@deploy("act")
def act(verb: Verb, spec: HostSpec) -> None:
    """The operations of one act; lease, drain and return surround those that disrupt."""
    patience_seconds = spec.lease.drain_seconds if spec.lease else 0
    if verb is Verb.DRAIN:
        acts.drained(name="node drained", node=spec.name, patience_seconds=patience_seconds)
        return
    if verb is Verb.OPEN:
        acts.opened(name="node open for pods", node=spec.name)
        return
    if verb is Verb.REBOOT:
        acts.rebooted(name="reboot", deadline_seconds=900)
    else:
        acts.restarted(name="k3s restart")
    if spec.k3s is not None:
        k3s.ready(name="node is Ready", node=spec.name, timeout_seconds=spec.k3s.ready_timeout_seconds)

"""What a machine is made of. A deploy turns spec and facts into operations, each of them named; order matters."""

from __future__ import annotations

from infra.hosts.deploys.base import base
from infra.hosts.deploys.k3s import k3s
from infra.hosts.deploys.leave import stop, wipe
from infra.spec import HostFacts, HostSpec, Verb


def declare(verb: Verb, spec: HostSpec, facts: HostFacts) -> None:
    """Declare the operations of a verb on the current pyinfra host, in the order in which a machine is built
    (spec: infra 17.2)."""
    if verb in {Verb.STOP, Verb.WIPE}:
        stop()
        if verb is Verb.WIPE:
            wipe()
        return
    base(spec=spec)
    k3s(spec=spec, facts=facts)

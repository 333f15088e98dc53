"""The firewall from the port map (spec: infra 1.3, 4.1.4); upstream never adds a rule."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from infra.hosts.deploys.firewall_rules import ruleset
from infra.hosts.operations import firewall as operations
from infra.hosts.operations import packages
from infra.spec import HostSpec


@deploy("firewall")
def firewall(spec: HostSpec) -> None:
    """Only what the port map names is reachable from outside; pods of the machine are not filtered here."""
    if spec.firewall is None:
        operations.absent(name="none of ours")
        return
    packages.present(name="nftables", packages=("nftables",))
    rules = ruleset(spec.role, spec.firewall, spec.port)
    operations.confirmed(name="port map", ruleset=rules, rollback_seconds=spec.firewall.rollback_seconds)
    # Only then: where ours is taken back, the machine keeps the one that it had.
    operations.other_tools_off(name="no other firewall")

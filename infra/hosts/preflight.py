"""What must be true of a machine before its first change. Decides on facts; changes nothing."""

from __future__ import annotations

from typing import Final

from infra.spec import HostFacts, HostRole, HostSpec, HostState, Verb
from policies.rules.declared import Allowances, Role
from policies.rules.model import Level
from policies.rules.observed import ObservedHost, check_host

_SYSTEMS: Final = ("debian", "ubuntu")
_ARCHITECTURES: Final = ("x86_64", "aarch64")


def objections(verb: Verb, spec: HostSpec, facts: HostFacts) -> tuple[str, ...]:
    """Reasons not to touch the machine; none when all is well. A machine that breaks a rule may still be drained,
    rebooted and left, and changed while it is drained."""
    found: list[str] = []
    if facts.os_id not in _SYSTEMS:
        found.append(f"{spec.name} runs {facts.os_id or 'an unknown system'}; wanted one of {', '.join(_SYSTEMS)}")
    if facts.architecture not in _ARCHITECTURES:
        found.append(f"{spec.name} is {facts.architecture or 'of unknown architecture'}; wanted x86_64 or aarch64")
    return (*found, *(_broken_rules(spec, facts) if verb is Verb.APPLY else ()))


def _broken_rules(spec: HostSpec, facts: HostFacts) -> tuple[str, ...]:
    """Mandatory rules that the observed machine breaks; none for a stack that says nothing about itself."""
    judged = spec.judged_by
    if judged is None:
        return ()
    host = ObservedHost(
        name=spec.name,
        role=Role.CONTROL if spec.role is HostRole.CONTROL else Role.GPU,
        address=spec.public_address,
        drained=spec.state is HostState.DRAINED,
        simulated_gpus=judged.simulated_gpus,
        kubernetes_version=spec.k3s.version if spec.k3s else None,
        os_id=facts.os_id,
        os_version=facts.os_version,
        kernel=facts.kernel,
        cgroup_version=facts.cgroup_version,
        cores=facts.cores,
        ram_mib=facts.ram_mib,
        gpu_memory_mib=tuple(gpu.memory_mib for gpu in facts.gpus),
        interface_addresses=facts.addresses,
        egress_addresses=facts.egress_addresses,
        var_snap_gib=facts.var_snap_gib,
        var_snap_filesystem=facts.var_snap_filesystem,
        var_snap_persistent=facts.var_snap_persistent,
    )
    allowed = Allowances(
        operating_systems=judged.operating_systems,
        small_control_host=judged.small_control_host,
        var_snap_minimum_gib=judged.var_snap_minimum_gib,
        var_snap_anywhere=judged.var_snap_anywhere,
    )
    return tuple(str(finding) for finding in check_host(host, allowed) if finding.level is Level.MANDATORY)

"""From a resource's properties to what rules judge.

Unknown values are read one field at a time and never judged: one of them would otherwise switch the whole policy off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Network
from typing import Any, Final

from pulumi_policy.proxy import UnknownValueError

from policies.rules.declared import Allowances, DeclaredNode, Role
from policies.rules.kubernetes import KubernetesObject
from policies.rules.observed import ObservedHost

NODE_TYPES: Final = frozenset({"headframe:infra:ControlPlane", "headframe:infra:GpuNode"})
HOST_TYPE: Final = "headframe:index:Host"
KUBERNETES: Final = "kubernetes:"


class Unknown:
    """Stands where a preview knows no value: neither text nor number nor mapping, so no rule judges it."""


def known(value: Any) -> Any:
    """A plain copy of properties with `Unknown` where a value is not known."""
    if isinstance(value, Mapping):
        return {key: _item(value, key) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_item(value, index) for index in range(len(value))]
    return value


def _item(container: Any, key: Any) -> Any:
    try:
        return known(container[key])
    except UnknownValueError:
        return Unknown()


def text(value: object) -> str | None:
    """A text, or None where it is missing or unknown."""
    return value if isinstance(value, str) else None


def number(value: object) -> int | None:
    """A number (they arrive as floats), or None."""
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def truth(value: object) -> bool | None:
    """True or False, or None where it is missing or unknown."""
    return value if isinstance(value, bool) else None


def texts(value: object) -> tuple[str, ...]:
    """The texts of a list."""
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def declared_node(properties: Mapping[str, Any]) -> DeclaredNode:
    """A node component's properties. What ought to be there and is not becomes the empty text, which rules refuse."""
    props = known(properties)
    role = Role.CONTROL if props.get("role") == Role.CONTROL else Role.GPU
    return DeclaredNode(
        name=text(props.get("nodeName", "")) or "",
        role=role,
        address=text(props.get("publicIp", "")),
        gpu=text(props.get("gpu")),
        gpu_count=number(props.get("gpuCount")),
        ram_gib=number(props.get("ramGib")),
        cores=number(props.get("cores")),
        hotkey_ss58=text(props.get("hotkeySs58", "")),
        simulated_gpus=props.get("simulatedGpus") is True,
        host_key=text(props.get("hostKey", "")),
        reached_by_ssh=props.get("reachedBySsh") is not False,
        validators=texts(props.get("validators")),
    )


def allowances(properties: Mapping[str, Any]) -> Allowances:
    """What the node's stack permits itself; nothing where it does not say."""
    given = known(properties).get("allowances")
    given = given if isinstance(given, dict) else {}
    return Allowances(
        networks=tuple(IPv4Network(network) for network in texts(given.get("networks"))),
        simulated_gpus=given.get("simulatedGpus") is True,
        small_control_host=given.get("smallControlHost") is True,
        operating_systems=texts(given.get("operatingSystems")),
        var_snap_minimum_gib=number(given.get("varSnapMinimumGib")),
        var_snap_anywhere=given.get("varSnapAnywhere") is True,
        unprotected_data=given.get("unprotectedData") is True,
    )


def kubernetes_object(
    type_: str, name: str, properties: Mapping[str, Any], provider: str | None, *, protected: bool
) -> KubernetesObject:
    """One Kubernetes resource."""
    return KubernetesObject(type=type_, name=name, properties=known(properties), provider=provider, protected=protected)


def observed_host(properties: Mapping[str, Any], node: DeclaredNode) -> ObservedHost:
    """What a Host reported when it was last read, beside what its node declares."""
    props = known(properties)
    facts = props.get("facts")
    facts = facts if isinstance(facts, dict) else {}
    k3s = props.get("k3s")
    gpus = facts.get("gpus")
    memory = [number(gpu.get("memoryMib")) for gpu in gpus if isinstance(gpu, dict)] if isinstance(gpus, list) else []
    return ObservedHost(
        name=node.name,
        role=node.role,
        address=node.address,
        drained=props.get("state") == "drained",
        simulated_gpus=node.simulated_gpus,
        kubernetes_version=text(k3s.get("version")) if isinstance(k3s, dict) else None,
        os_id=text(facts.get("osId")),
        os_version=text(facts.get("osVersion")),
        kernel=text(facts.get("kernel")),
        cgroup_version=number(facts.get("cgroupVersion")),
        cores=number(facts.get("cores")),
        ram_mib=number(facts.get("ramMib")),
        gpu_memory_mib=tuple(item for item in memory if item is not None),
        interface_addresses=texts(facts["addresses"]) if "addresses" in facts else None,
        egress_addresses=texts(facts.get("egressAddresses")),
        var_snap_gib=number(facts.get("varSnapGib")),
        var_snap_filesystem=text(facts.get("varSnapFilesystem")),
        var_snap_persistent=truth(facts.get("varSnapPersistent")),
    )


def nodes_of(resources: Iterable[tuple[str, Mapping[str, Any]]]) -> list[tuple[DeclaredNode, Allowances]]:
    """The declared machines among (type, properties) pairs."""
    return [(declared_node(props), allowances(props)) for type_, props in resources if type_ in NODE_TYPES]

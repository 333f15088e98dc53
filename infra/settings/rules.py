"""Rules of `policies.rules` over settings, so that a plain preview stops without any policy pack (D8)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from infra.settings.mistakes import Mistake, config_path, remove_command, set_command
from infra.settings.programs import ValidatorSettings
from infra.settings.tree import AllowanceSettings, BareGpuNode, ControlSettings, FleetSettings, GpuNode, TeeGpuNode
from policies.rules import catalogue, declared
from policies.rules.declared import Allowances, DeclaredNode, Role
from policies.rules.model import Finding, Level

_Step = int | str
_Machine = tuple[tuple[_Step, ...], ControlSettings | BareGpuNode | TeeGpuNode]
#: Which key of a machine a rule speaks of, and a value that would do.
_FIELD: dict[str, tuple[tuple[str, ...], object]] = {
    catalogue.GPU_RAM_COVERS_VRAM.name: (("ram_gib",), "RAM_GIB"),
    catalogue.IP_PUBLIC.name: (("address",), "203.0.113.7"),
    catalogue.IP_UNIQUE.name: (("address",), "203.0.113.7"),
    catalogue.CONTROL_HOST_SIZE.name: (("ram_gib",), "32"),
    catalogue.NODE_NAME.name: (("name",), "gpu-7"),
    catalogue.SIMULATED_GPUS.name: (("simulated_gpus",), False),
    catalogue.SSH_HOST_KEY.name: (("ssh", "host_key"), "'ssh-ed25519 AAAA...'"),
}


def allowances(settings: AllowanceSettings) -> Allowances:
    """The stack's allowances as the rules take them."""
    return Allowances(**settings.model_dump())


def declared_node(node: ControlSettings | BareGpuNode | TeeGpuNode, hotkey_ss58: str | None) -> DeclaredNode:
    """One machine as the rules see it."""
    if isinstance(node, ControlSettings):
        return DeclaredNode(
            name=node.name,
            role=Role.CONTROL,
            address=node.address,
            cores=node.cores,
            ram_gib=node.ram_gib,
            hotkey_ss58=hotkey_ss58,
            host_key=node.ssh.host_key,
        )
    bare = node if isinstance(node, BareGpuNode) else None
    return DeclaredNode(
        name=node.name,
        role=Role.GPU,
        address=node.address,
        gpu=node.gpu,
        gpu_count=node.gpu_count,
        ram_gib=bare.ram_gib if bare else None,
        simulated_gpus=bool(bare and bare.simulated_gpus),
        hotkey_ss58=hotkey_ss58,
        host_key=bare.ssh.host_key if bare else None,
        reached_by_ssh=bare is not None,
    )


def check(settings: FleetSettings) -> tuple[list[Mistake], list[Finding]]:
    """Mandatory findings as mistakes with their path, and the advisory ones as they are."""
    machines: list[_Machine] = [(("control",), settings.control)]
    machines += [(("gpu_nodes", index), node) for index, node in enumerate(settings.gpu_nodes)]
    permitted = allowances(settings.allowances)
    mistakes, warnings = _judged(machines, settings.miner.hotkey_ss58, permitted)
    return [*mistakes, *_without_tls(settings.validators, permitted), *_locked_out(settings)], warnings


def check_parts(values: Mapping[str, object]) -> list[Mistake]:
    """The same for settings that are not valid as a whole: every machine that can be read is judged."""
    permitted = _read(AllowanceSettings, values.get("allowances", {})) or AllowanceSettings()
    nodes = values.get("gpu_nodes")
    parts: list[tuple[tuple[_Step, ...], object]] = [(("control",), _read(ControlSettings, values.get("control")))]
    parts += [
        (("gpu_nodes", index), _read(GpuNode, node))
        for index, node in enumerate(nodes if isinstance(nodes, list) else [])
    ]
    machines = [(at, part) for at, part in parts if isinstance(part, ControlSettings | BareGpuNode | TeeGpuNode)]
    validators = values.get("validators")
    entries = [_read(ValidatorSettings, entry) for entry in validators] if isinstance(validators, list) else []
    return [
        *_judged(machines, None, allowances(permitted))[0],
        *_without_tls(entries, allowances(permitted)),
    ]


def _judged(machines: list[_Machine], hotkey: str | None, permitted: Allowances) -> tuple[list[Mistake], list[Finding]]:
    mistakes, warnings = list(_names_differ(machines)), []
    places = [(steps, declared_node(machine, hotkey)) for steps, machine in machines]
    found = [(steps, finding) for steps, node in places for finding in declared.check_node(node, permitted)]
    last_by_name = {node.name: steps for steps, node in places}
    found += [(last_by_name[finding.subject], finding) for finding in declared.check_fleet(n for _, n in places)]
    for steps, finding in found:
        if finding.level is Level.ADVISORY:
            warnings.append(finding)
        else:
            mistakes.append(_mistake(steps, finding))
    return mistakes, warnings


def _without_tls(validators: Sequence[ValidatorSettings | None], permitted: Allowances) -> Iterator[Mistake]:
    """Validators whose words could be anybody's; None stands for an entry with mistakes of its own."""
    for index, entry in enumerate(validators):
        for key, scheme in (("api", "https"), ("socket", "wss")):
            address = getattr(entry, key, "")
            for finding in declared.validator_tls(f"validator {index}", address, allowed=permitted.networks):
                path = config_path(["validators", index, key])
                yield Mistake(path, str(finding), set_command(path, f"{scheme}://{address.split('://', 1)[1]}"))


def _locked_out(settings: FleetSettings) -> Iterator[Mistake]:
    """Accounts that leave although machines are entered by them: the first run would be the last."""
    entered: dict[str, str] = {}
    machines: list[ControlSettings | BareGpuNode] = [settings.control, *settings.bare_nodes]
    for machine in machines:
        entered.setdefault(machine.ssh.user, machine.name)
    for index, user in enumerate(settings.access.users):
        if not user.present and user.name in entered:
            path = config_path(["access", "users", index, "present"])
            wrong = f"{entered[user.name]} is entered as {user.name}: first set another ssh.user for it"
            yield Mistake(path, wrong, remove_command(path))


def _read(kind: Any, value: object) -> Any:
    """The part, or None where it has mistakes of its own."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return None


def _mistake(steps: tuple[_Step, ...], finding: Finding) -> Mistake:
    field, example = _FIELD.get(finding.rule, ((), "VALUE"))
    path = config_path([*steps, *field])
    command = remove_command(path) if example is False else set_command(path, example)
    return Mistake(path, str(finding), command)


def _names_differ(machines: list[_Machine]) -> Iterator[Mistake]:
    """Names are identities (D4): used once, the control host's included."""
    seen: dict[str, str] = {}
    for steps, machine in machines:
        path = config_path([*steps, "name"])
        if machine.name in seen:
            yield Mistake(
                path, f"{machine.name} is also the name of {seen[machine.name]}", set_command(path, f"{machine.name}-b")
            )
        seen.setdefault(machine.name, config_path(steps))

"""The machines of a stack, read from its state: what was last applied to each, secrets included. Shows none of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from infra.cli.engine import Engine
from infra.spec import HostRole, HostSpec

_TYPE: Final = "headframe:index:Host"
_SECRET_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"  # noqa: S105 the marker's public name


class UnknownMachineError(LookupError):
    """There is no such machine in the stack."""


def machines_of(engine: Engine) -> tuple[HostSpec, ...]:
    """Every machine of the stack, GPU nodes by name, control hosts last: what they serve is disturbed last.

    Raises:
        infra.cli.engine.EngineError: the state cannot be read.
    """
    return specs_of(engine.json("stack", "export", "--show-secrets"))


def specs_of(export: Mapping[str, Any]) -> tuple[HostSpec, ...]:
    """The specs in an exported state. Pure."""
    resources = (export.get("deployment") or {}).get("resources") or []
    names = {field.alias or name for name, field in HostSpec.model_fields.items()}
    found = [
        HostSpec.model_validate({key: _plain(value) for key, value in resource["outputs"].items() if key in names})
        for resource in resources
        if resource["type"] == _TYPE and resource.get("outputs") and not resource.get("delete")
    ]
    return tuple(sorted(found, key=lambda spec: (spec.role is HostRole.CONTROL, spec.name)))


def kubeconfigs_of(export: Mapping[str, Any]) -> dict[str, str]:
    """Node name -> kubeconfig, of every machine in an exported state that has one. Pure."""
    resources = (export.get("deployment") or {}).get("resources") or []
    outputs = [resource.get("outputs") or {} for resource in resources if resource["type"] == _TYPE]
    return {
        str(_plain(each["name"])): str(_plain(each["kubeconfig"]))
        for each in outputs
        if each.get("name") and each.get("kubeconfig") and _plain(each["kubeconfig"])
    }


def chosen(machines: Sequence[HostSpec], names: Iterable[str], *, everything: bool) -> tuple[HostSpec, ...]:
    """The named machines in their order, or all.

    Raises:
        UnknownMachineError: none is named, or one that is not there.
    """
    wanted = list(names)
    known = {machine.name for machine in machines}
    if missing := [name for name in wanted if name not in known]:
        raise UnknownMachineError(f"no machine {', '.join(missing)} in the stack; it has {', '.join(sorted(known))}")
    if not wanted and not everything:
        raise UnknownMachineError(f"name the machines, or --all; the stack has {', '.join(sorted(known))}")
    return tuple(machine for machine in machines if everything or machine.name in wanted)


def _plain(value: Any) -> Any:
    """Without the state's secret markers. `--show-secrets` gives the value as JSON text under `plaintext`."""
    if isinstance(value, dict):
        if _SECRET_SIGNATURE in value:
            return json.loads(value["plaintext"])
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value

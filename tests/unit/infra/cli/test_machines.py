"""Machines of a stack from its exported state, and which of them a command means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.cli.machines import UnknownMachineError, chosen, specs_of
from infra.spec import HostRole, HostSpec
from tests.support.specs import host_spec

SIGNATURE = "4dabf18193072939515e22adb298388d"


def exported(spec: HostSpec, **more: object) -> dict[str, Any]:
    """A host as `pulumi stack export --show-secrets` writes it."""
    outputs = json.loads(spec.to_json())
    outputs["privateKey"] = {SIGNATURE: "1b47", "plaintext": json.dumps(outputs["privateKey"])}
    return {"type": "headframe:index:Host", "outputs": {**outputs, "drift": [], "kubeconfig": ""}, **more}


def state(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"deployment": {"resources": [{"type": "pulumi:pulumi:Stack"}, *resources]}}


def test_machines_are_read_with_their_secrets() -> None:
    spec = host_spec()
    assert specs_of(state(exported(spec))) == (spec,)


def test_the_control_host_comes_last_and_what_is_to_be_deleted_not_at_all() -> None:
    control, one, two = (
        host_spec(name="a-control", role=HostRole.CONTROL),
        host_spec(name="gpu-1"),
        host_spec(name="gpu-2"),
    )
    found = specs_of(state(exported(control), exported(two), exported(one), exported(host_spec(name="x"), delete=True)))
    assert [spec.name for spec in found] == ["gpu-1", "gpu-2", "a-control"]


def test_an_empty_stack_has_no_machine() -> None:
    assert specs_of({"deployment": None}) == ()


def test_only_named_machines_are_meant_and_all_only_when_asked() -> None:
    machines = (host_spec(name="gpu-1"), host_spec(name="gpu-2"))
    assert chosen(machines, ["gpu-2"], everything=False) == machines[1:]
    assert chosen(machines, [], everything=True) == machines
    with pytest.raises(UnknownMachineError, match="name the machines, or --all"):
        chosen(machines, [], everything=False)
    with pytest.raises(UnknownMachineError, match="no machine gpu-9 in the stack; it has gpu-1, gpu-2"):
        chosen(machines, ["gpu-9"], everything=False)

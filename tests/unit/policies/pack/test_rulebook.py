"""The pack's policies in process: unknown values, and our own resources, whole and broken one rule at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pulumi_policy import (
    PolicyCustomTimeouts,
    PolicyProviderResource,
    PolicyResource,
    PolicyResourceOptions,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, unknown_checking_proxy

from policies.pack.readers import Unknown, known
from policies.pack.rulebook import policies
from policies.rules.catalogue import RULES
from tests.support.program import Recorded, plain
from tests.support.program_run import run_program
from tests.support.settings import fleet, gpu_node

Entry = dict[str, Any]
NODE = "headframe:infra:GpuNode"
CONTROL = "headframe:infra:ControlPlane"
HOST = "headframe:index:Host"
SET = "kubernetes:apps/v1:StatefulSet"
GOOD_FACTS = {"osId": "ubuntu", "osVersion": "22.04", "kernel": "5.15.0", "cgroupVersion": 2, "addresses": []}


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    """The program's resources as the engine hands them to a pack: secrets in plain, to stack policies outputs only."""
    folder: Path = tmp_path_factory.mktemp("pack")
    recorded = run_program(
        fleet(gpu_nodes=[gpu_node("gpu-0", "9.0.0.11"), gpu_node("gpu-1", "9.0.0.12")]), folder
    ).resources
    return [entry_of(item) for item in recorded if item.type != "pulumi:pulumi:Stack"]


def entry_of(item: Recorded) -> Entry:
    provider = item.provider.split("::")[-2] if item.provider else None
    return {
        "type": item.type,
        "name": item.name,
        "props": plain(item.inputs),
        "component": not item.request.custom,
        "outputs": plain(dict(item.outputs or {})),
        "provider": provider,
        "protect": item.request.protect,
    }


def named(entries: list[Entry], type_: str, name: str) -> Entry:
    (found,) = [entry for entry in entries if entry["type"] == type_ and entry["name"] == name]
    return found


def violations(entries: list[Entry], whole: Sequence[Entry] = ()) -> dict[str, list[str]]:
    """Policy name -> messages, over every resource and the whole stack; those of `whole` are known to break none."""
    found: dict[str, list[str]] = {}
    unseen = [resource_args(entry) for entry in entries if entry not in whole]
    stack = [stack_resource(entry) for entry in entries]
    for policy in policies():
        messages: list[str] = []

        def report(message: str, urn: str | None = None, into: list[str] = messages) -> None:
            into.append(message)

        if isinstance(policy, ResourceValidationPolicy):
            for args in unseen:
                policy.validate(args, report)
        elif isinstance(policy, StackValidationPolicy):
            policy.validate(StackValidationArgs(stack), report)
        if messages:
            found[policy.name] = messages
    return found


def options(entry: Entry) -> PolicyResourceOptions:
    timeouts = PolicyCustomTimeouts(0, 0, 0)
    return PolicyResourceOptions(entry["protect"], [], None, [], timeouts, [])


def provider_of(entry: Entry) -> PolicyProviderResource | None:
    if entry["provider"] is None:
        return None
    return PolicyProviderResource("pulumi:providers:kubernetes", {}, "urn", entry["provider"])


def resource_args(entry: Entry) -> ResourceValidationArgs:
    props = unknown_checking_proxy(entry["props"])
    return ResourceValidationArgs(
        entry["type"], props, f"urn::{entry['name']}", entry["name"], options(entry), provider_of(entry)
    )


def stack_resource(entry: Entry) -> PolicyResource:
    props = unknown_checking_proxy(entry["outputs"] if entry["component"] else entry["props"])
    urn = f"urn::{entry['name']}"
    return PolicyResource(entry["type"], props, urn, entry["name"], options(entry), provider_of(entry), None, [], {})


def test_the_programs_own_resources_break_no_rule(entries: list[Entry]) -> None:
    assert violations(entries) == {}


def test_every_rule_is_a_policy_of_its_name() -> None:
    names = {policy.name for policy in policies()}
    assert set(RULES) <= names
    assert all(name.removesuffix("-stack") in RULES for name in names)


def set_prop(type_: str, name: str, **changes: Any) -> Callable[[list[Entry]], None]:
    def change(entries: list[Entry]) -> None:
        named(entries, type_, name)["props"] |= changes
        named(entries, type_, name)["outputs"] |= changes

    return change


def container(**changes: Any) -> Callable[[list[Entry]], None]:
    def change(entries: list[Entry]) -> None:
        named(entries, SET, "postgres")["props"]["spec"]["template"]["spec"]["containers"][0] |= changes

    return change


def service_port(name: str, port: int) -> Callable[[list[Entry]], None]:
    def change(entries: list[Entry]) -> None:
        named(entries, "kubernetes:core/v1:Service", name)["props"]["spec"]["ports"][0]["nodePort"] = port

    return change


def facts(**changes: Any) -> Callable[[list[Entry]], None]:
    return set_prop(HOST, "gpu-0", facts=GOOD_FACTS | {"addresses": ["9.0.0.11"]} | changes)


def both(*changes: Callable[[list[Entry]], None]) -> Callable[[list[Entry]], None]:
    def change(entries: list[Entry]) -> None:
        for each in changes:
            each(entries)

    return change


def unprotect(entries: list[Entry]) -> None:
    named(entries, "kubernetes:core/v1:PersistentVolume", "postgres-data")["protect"] = False


def no_provider(entries: list[Entry]) -> None:
    named(entries, SET, "postgres")["provider"] = "default_4_33_0"


@pytest.mark.parametrize(
    ("change", "policy"),
    [
        (set_prop(NODE, "gpu-0", ramGib=64.0), "gpu-ram-covers-vram"),
        (facts(ramMib=1024, gpus=[{"memoryMib": 81559}]), "gpu-ram-covers-vram-stack"),
        (set_prop(NODE, "gpu-0", publicIp="10.0.0.1"), "ip-public"),
        (set_prop(NODE, "gpu-0", publicIp="9.0.0.12"), "ip-unique"),
        (set_prop(NODE, "gpu-0", hotkeySs58="other"), "hotkey-single"),
        (set_prop(NODE, "gpu-0", nodeName="Bad"), "node-name"),
        (set_prop(NODE, "gpu-0", hostKey=""), "ssh-host-key"),
        (set_prop(NODE, "gpu-0", simulatedGpus=True), "simulated-gpus"),
        (set_prop(CONTROL, "control", ramGib=8.0), "control-host-size"),
        (set_prop(CONTROL, "control", validators=["https://v.example", "ws://v.example"]), "validator-tls"),
        (facts(osVersion="24.04"), "os-ubuntu-2204"),
        (facts(kernel="4.4.0"), "kubernetes-fit"),
        (facts(addresses=["10.0.0.7"]), "ip-on-interface"),
        (container(image="postgres:16"), "image-digest"),
        (container(args=["--axon"]), "axon-silent"),
        (container(env=[{"name": "PASSWORD", "value": "x"}]), "secret-shape"),
        (service_port("postgres", 80), "nodeport-range"),
        (both(service_port("postgres", 32000), service_port("redis", 32000)), "nodeport-range-stack"),
        (unprotect, "data-protected-stack"),
        (no_provider, "k8s-explicit-provider"),
        (
            set_prop("kubernetes:helm.sh/v3:Release", "gpu-0-gpu-runtime", values={"image": "nvidia:latest"}),
            "helm-images",
        ),
    ],
)
def test_a_broken_stack_breaks_that_rule_only(
    entries: list[Entry], change: Callable[[list[Entry]], None], policy: str
) -> None:
    broken = copy.deepcopy(entries)
    change(broken)
    assert list(violations(broken, entries)) == [policy]


def test_what_a_preview_does_not_know_is_not_judged_and_hides_nothing_else(entries: list[Entry]) -> None:
    unsure = copy.deepcopy(entries)
    named(unsure, NODE, "gpu-0")["props"]["ramGib"] = UNKNOWN_STRING_VALUE
    named(unsure, HOST, "gpu-0")["props"]["facts"] = UNKNOWN_STRING_VALUE
    named(unsure, SET, "redis")["props"]["spec"]["template"] = UNKNOWN_STRING_VALUE
    assert violations(unsure, entries) == {}
    set_prop(NODE, "gpu-1", publicIp="9.0.0.10")(unsure)
    assert list(violations(unsure, entries)) == ["ip-unique"]


def test_a_drained_machine_that_breaks_a_rule_holds_up_nobody(entries: list[Entry]) -> None:
    broken = copy.deepcopy(entries)
    facts(osVersion="24.04", varSnapGib=1)(broken)
    assert list(violations(broken)) == ["storage-var-snap", "os-ubuntu-2204"]
    set_prop(HOST, "gpu-0", state="drained")(broken)
    assert violations(broken) == {}


def test_a_missing_fact_is_refused_not_ignored(entries: list[Entry]) -> None:
    broken = copy.deepcopy(entries)
    del named(broken, NODE, "gpu-0")["props"]["publicIp"]
    assert "ip-public" in violations(broken, entries)


def test_no_message_shows_a_secret(entries: list[Entry]) -> None:
    broken = copy.deepcopy(entries)
    for change in (container(env=[{"name": "PASSWORD", "value": "marker"}]), set_prop(NODE, "gpu-0", ramGib=1.0)):
        change(broken)
    assert "marker" not in str(violations(broken, entries))


def test_unknown_values_become_marks_that_are_no_data() -> None:
    seen = known(unknown_checking_proxy({"a": [UNKNOWN_STRING_VALUE, {"b": 1}]}))
    assert isinstance(seen["a"][0], Unknown)
    assert seen["a"][1] == {"b": 1}

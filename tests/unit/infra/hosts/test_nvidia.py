"""The NVIDIA stack. Untested on real hardware: these command lists are what holds it."""

from __future__ import annotations

import pytest
from syrupy.assertion import SnapshotAssertion

from infra.hosts.deploys import notes
from infra.hosts.deploys.nvidia import package_names, preferences
from infra.spec import AptRepository, HostFacts, NvidiaSpec, Verb
from tests.support.fake_host import run_fake
from tests.support.specs import host_spec

REPOSITORY = AptRepository(
    name="cuda", source="https://example.org/cuda ./", signing_key="-----BEGIN PGP PUBLIC KEY BLOCK-----\nexample"
)
NVIDIA = NvidiaSpec(
    driver_version="580.95.05",
    toolkit_version="1.17.8",
    fabric_manager=True,
    infiniband=True,
    repositories=(REPOSITORY,),
)
LOOKS = ("; } || true", "then echo yes", "say ")


def test_what_a_bare_machine_is_sent(snapshot: SnapshotAssertion) -> None:
    run = run_fake(Verb.APPLY, host_spec(nvidia=NVIDIA), {"grep -q 'Kernel Module": "yes"})
    assert run.error is None
    assert [command for command in run.commands if not any(look in command for look in LOOKS)] == snapshot


def test_driver_and_fabric_manager_are_pinned_to_one_version() -> None:
    assert package_names(NVIDIA)[:3] == (
        "nvidia-driver-580-server-open=580.95.05*",
        "nvidia-container-toolkit=1.17.8*",
        "nvidia-fabricmanager-580=580.95.05*",
    )
    pins = preferences(NVIDIA)
    assert pins.count("Pin: version 580.95.05*") == 1
    assert "Pin: version 1.17.8*" in pins


def test_a_fabric_manager_of_another_version_is_refused() -> None:
    installed = {"nvidia-fabricmanager*": "575.57.08-1", "grep -q 'Kernel Module": "yes"}
    run = run_fake(Verb.APPLY, host_spec(nvidia=NVIDIA), installed)
    assert run.error is not None
    assert "pin both to one version" in run.error.message


def test_simulated_gpus_get_no_driver_and_the_reason_is_told() -> None:
    spec = host_spec(nvidia=NVIDIA.model_copy(update={"simulated": True}))
    run = run_fake(Verb.PLAN, spec)
    assert not any(operation.name.startswith("nvidia") for operation in run.plan.operations)
    assert [event.message for event in run.events if event.event == "log"] == list(notes(spec, HostFacts()))
    assert "simulated" in notes(spec, HostFacts())[0]


@pytest.mark.parametrize(
    ("facts", "word"),
    [(HostFacts(pending_security_updates=3), "3 security updates"), (HostFacts(reboot_required=True), "reboot")],
)
def test_what_waits_for_a_maintenance_is_told(facts: HostFacts, word: str) -> None:
    (note,) = notes(host_spec(), facts)
    assert word in note


@pytest.mark.parametrize(("installed", "replaced"), [("580.82.07-0ubuntu1", True), ("580.95.05-0ubuntu1", False)])
def test_another_version_of_one_branch_is_installed_before_the_machine_reboots_into_it(
    installed: str, replaced: bool
) -> None:
    names = ("nvidia-driver-580-server-open", "nvidia-fabricmanager-580")
    versions = {**dict.fromkeys(names, installed), "nvidia-container-toolkit": "1.17.8-1"}
    listed = "\n".join(f"ii |{name}|{version}" for name, version in versions.items())
    wanted = NVIDIA.model_copy(update={"infiniband": False, "repositories": ()})
    run = run_fake(Verb.PLAN, host_spec(nvidia=wanted), {"nvidia-container-toolkit": listed})
    assert ("nvidia | packages" in run.plan.changes) is replaced

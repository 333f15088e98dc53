"""Rules over the observed machine stop a run before its first change, where the stack says what it permits itself."""

from __future__ import annotations

from infra.hosts.preflight import objections
from infra.spec import HostFacts, HostRole, HostSpec, HostState, JudgedBy, Verb
from infra.spec.facts import GpuFacts
from tests.support.settings import HOST_KEY

FACTS = HostFacts(
    os_id="debian", os_version="12", architecture="x86_64", kernel="6.1.0", cgroup_version=1, cores=2, ram_mib=4096,
    gpus=(GpuFacts(index=0, name="NVIDIA H100 80GB HBM3", uuid="GPU-0", memory_mib=81559),),
)  # fmt: skip


def spec(role: HostRole, judged_by: JudgedBy | None) -> HostSpec:
    return HostSpec(name="gpu-0", host="9.0.0.1", host_key=HOST_KEY, role=role, private_key="k", judged_by=judged_by)


def test_a_machine_that_breaks_rules_is_refused_with_each_of_them() -> None:
    found = "\n".join(objections(Verb.APPLY, spec(HostRole.GPU, JudgedBy()), FACTS))
    assert "[os-ubuntu-2204]" in found
    assert "[gpu-ram-covers-vram]" in found


def test_what_the_stack_allows_is_let_pass() -> None:
    allowed = JudgedBy(operating_systems=("debian 12",), simulated_gpus=True, small_control_host=True)
    assert objections(Verb.APPLY, spec(HostRole.GPU, allowed), FACTS) == ()
    assert objections(Verb.APPLY, spec(HostRole.CONTROL, allowed), FACTS) == ()
    assert "[control-host-size]" in "".join(
        objections(
            Verb.APPLY, spec(HostRole.CONTROL, JudgedBy(operating_systems=("debian 12",), simulated_gpus=True)), FACTS
        )
    )


def test_a_declaration_that_says_nothing_is_not_judged() -> None:
    assert objections(Verb.APPLY, spec(HostRole.GPU, None), FACTS) == ()


def test_what_lies_under_var_snap_is_judged_as_observed() -> None:
    allowed = JudgedBy(operating_systems=("debian 12",), simulated_gpus=True)
    seen = FACTS.model_copy(
        update={"var_snap_gib": 100, "var_snap_filesystem": "overlay", "var_snap_persistent": False}
    )
    found = "\n".join(objections(Verb.APPLY, spec(HostRole.GPU, allowed), seen))
    assert "100 GiB under /var/snap" in found
    assert "/var/snap is on overlay" in found
    assert "not mounted again after a reboot" in found
    trials = allowed.model_copy(update={"var_snap_minimum_gib": 1, "var_snap_anywhere": True})
    assert "overlay" not in str(objections(Verb.APPLY, spec(HostRole.GPU, trials), seen))
    assert objections(Verb.APPLY, spec(HostRole.GPU, allowed), FACTS) == ()


def test_a_machine_that_leaves_by_another_address_is_refused() -> None:
    allowed = JudgedBy(operating_systems=("debian 12",), simulated_gpus=True)
    seen = FACTS.model_copy(update={"egress_addresses": ("9.0.0.1", "9.0.0.2")})
    (found,) = objections(Verb.APPLY, spec(HostRole.GPU, allowed), seen)
    assert "it leaves by 9.0.0.2 and is reached at 9.0.0.1" in found
    same = FACTS.model_copy(update={"egress_addresses": ("9.0.0.1",)})
    assert objections(Verb.APPLY, spec(HostRole.GPU, allowed), same) == ()


def test_a_machine_that_breaks_a_rule_can_still_be_drained_and_left() -> None:
    for verb in (Verb.DRAIN, Verb.REBOOT, Verb.STOP, Verb.WIPE):
        assert objections(verb, spec(HostRole.GPU, JudgedBy()), FACTS) == ()


def test_a_machine_that_is_drained_may_be_changed_whatever_it_breaks() -> None:
    drained = spec(HostRole.GPU, JudgedBy()).model_copy(update={"state": HostState.DRAINED})
    assert objections(Verb.APPLY, drained, FACTS) == ()
    other = FACTS.model_copy(update={"os_id": "arch"})
    assert "runs arch" in "".join(objections(Verb.APPLY, drained, other))

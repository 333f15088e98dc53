"""Rules over the observed machine stop a run before its first change, where the stack says what it permits itself."""

from __future__ import annotations

from infra.hosts.preflight import objections
from infra.spec import HostFacts, HostRole, HostSpec, JudgedBy
from infra.spec.facts import GpuFacts
from tests.support.settings import HOST_KEY

FACTS = HostFacts(
    os_id="debian", os_version="12", architecture="x86_64", kernel="6.1.0", cgroup_version=1, cores=2, ram_mib=4096,
    gpus=(GpuFacts(index=0, name="NVIDIA H100 80GB HBM3", uuid="GPU-0", memory_mib=81559),),
)  # fmt: skip


def spec(role: HostRole, judged_by: JudgedBy | None) -> HostSpec:
    return HostSpec(name="gpu-0", host="9.0.0.1", host_key=HOST_KEY, role=role, private_key="k", judged_by=judged_by)


def test_a_machine_that_breaks_rules_is_refused_with_each_of_them() -> None:
    found = "\n".join(objections(spec(HostRole.GPU, JudgedBy()), FACTS))
    assert "[os-ubuntu-2204]" in found
    assert "[gpu-ram-covers-vram]" in found


def test_what_the_stack_allows_is_let_pass() -> None:
    allowed = JudgedBy(operating_systems=("debian 12",), simulated_gpus=True, small_control_host=True)
    assert objections(spec(HostRole.GPU, allowed), FACTS) == ()
    assert objections(spec(HostRole.CONTROL, allowed), FACTS) == ()
    assert "[control-host-size]" in "".join(
        objections(spec(HostRole.CONTROL, JudgedBy(operating_systems=("debian 12",), simulated_gpus=True)), FACTS)
    )


def test_a_declaration_that_says_nothing_is_not_judged() -> None:
    assert objections(spec(HostRole.GPU, None), FACTS) == ()

"""Facts: the script runs on a real shell, and what cannot be seen is None."""

from __future__ import annotations

import subprocess

from infra.hosts.facts.machine import Machine, facts_of
from infra.spec import GpuFacts, HostFacts


def test_the_script_runs_on_a_plain_shell_and_tells_the_cores() -> None:
    fact = Machine()
    run = subprocess.run(["sh", "-c", fact.command("/tmp")], capture_output=True, text=True, timeout=60, check=True)
    facts = facts_of(fact.process(run.stdout.splitlines()))
    assert facts.cores is not None
    assert facts.cores >= 1
    assert facts.ram_mib is not None
    assert facts.cgroup_version in {1, 2}


def test_what_was_not_seen_is_none_and_not_zero() -> None:
    assert facts_of({}) == HostFacts()
    assert facts_of(Machine().process(["cores=", "ram_mib=?", "nonsense"])).ram_mib is None


def test_gpus_are_read_even_when_their_name_holds_a_comma() -> None:
    lines = ["gpu=0, NVIDIA H100 80GB HBM3, GPU-1, 81559", "gpu=1, Odd, Name, GPU-2, 1024"]
    facts = facts_of(Machine().process(lines))
    assert facts.gpus == (
        GpuFacts(index=0, name="NVIDIA H100 80GB HBM3", uuid="GPU-1", memory_mib=81559),
        GpuFacts(index=1, name="Odd, Name", uuid="GPU-2", memory_mib=1024),
    )

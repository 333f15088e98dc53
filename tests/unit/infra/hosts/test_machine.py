"""Facts: the script runs on a real shell, and what cannot be seen is None."""

from __future__ import annotations

import socketserver
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.hosts.facts.machine import Machine, facts_of
from infra.spec import EchoSpec, GpuFacts, HostFacts


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


class Address(socketserver.BaseRequestHandler):
    """Tells a caller its address, as the control host's echo does."""

    asked = 0

    def handle(self) -> None:
        Address.asked += 1
        self.request.sendall(f"{self.client_address[0]}\n".encode())


@pytest.fixture
def echo() -> Iterator[EchoSpec]:
    with socketserver.TCPServer(("127.0.0.1", 0), Address) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield EchoSpec(host="127.0.0.1", port=server.server_address[1])
        server.shutdown()
        thread.join()


def looked(*arguments: object) -> HostFacts:
    """Facts of this very machine."""
    fact = Machine()
    script = fact.command("/tmp", *arguments)  # type: ignore[arg-type]
    run = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return facts_of(fact.process(run.stdout.splitlines()))


def test_the_address_by_which_a_machine_leaves_is_asked_three_times(echo: EchoSpec) -> None:
    assert looked("", echo).egress_addresses == ("127.0.0.1",)
    assert Address.asked == 3


def test_an_echo_that_does_not_answer_is_no_observation() -> None:
    assert looked("", EchoSpec(host="127.0.0.1", port=9)).egress_addresses == ()


def test_what_is_under_var_snap_is_seen_before_it_is_mounted(tmp_path: Path) -> None:
    facts = looked(str(tmp_path / "not" / "there"))
    assert facts.var_snap_gib is not None
    assert facts.var_snap_filesystem
    assert facts.var_snap_persistent in {True, False}

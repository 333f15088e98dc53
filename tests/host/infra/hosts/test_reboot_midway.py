"""A booted machine that reboots in the middle of an apply: told at once, and finished by the next run."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.spec import BaseSpec, ErrorEvent, ExitCode, FileSpec, HostSpec, OperationEvent, parse_event
from lab.hosts.commands import CommandError
from tests.support.lab_machine import Machine

pytestmark = pytest.mark.host

FOLDER = "/opt/reboot-midway"
COUNT = 40
#: From here on the first run must not have come.
LAST = f"{FOLDER}/file-{COUNT - 1}"


def wanted(machine: Machine) -> HostSpec:
    """Enough operations for a reboot to meet one of them."""
    return machine.spec(
        base=BaseSpec(files=tuple(FileSpec(path=f"{FOLDER}/file-{n}", content="x") for n in range(COUNT)))
    )


@pytest.fixture
def tidy(machine: Machine) -> Iterator[Machine]:
    yield machine
    machine.ssh(f"rm -rf {FOLDER}")


def wait_for_another_boot(machine: Machine, before: str) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            if boot_of(machine) != before:
                return
        except CommandError:  # still on its way
            pass
        assert time.monotonic() < deadline, "the machine did not come back"
        time.sleep(0.5)


def boot_of(machine: Machine) -> str:
    """When the machine's first process began: another one after a reboot."""
    return machine.ssh("cut -d' ' -f22 /proc/1/stat")


def test_a_reboot_in_the_middle_of_an_apply_is_told_and_the_next_run_goes_on(tidy: Machine, tmp_path: Path) -> None:
    spec, before = wanted(tidy), boot_of(tidy)
    source = tmp_path / "spec.json"
    source.write_text(f"{spec.to_json()}\n")
    source.chmod(0o600)
    with source.open() as given:
        run = subprocess.Popen(
            [sys.executable, "-m", "infra.hosts", "apply"], stdin=given, stdout=subprocess.PIPE, text=True
        )
    assert run.stdout is not None
    events = []
    for line in run.stdout:
        events.append(parse_event(line))
        if sum(isinstance(event, OperationEvent) for event in events) == 6:
            tidy.ssh("systemctl reboot --force --force || true")
            break
    rest, _ = run.communicate(timeout=180)
    events += [parse_event(line) for line in rest.splitlines()]

    assert run.returncode == ExitCode.OPERATION_FAILED
    assert isinstance(events[-1], ErrorEvent)
    assert "the connection was lost" in events[-1].message
    assert "the next run goes on from there" in events[-1].message

    wait_for_another_boot(tidy, before)
    assert tidy.ssh(f"test -e {LAST} && echo there || echo missing") == "missing"
    changed = tidy.apply(spec)
    assert 0 < len(changed) <= COUNT
    assert tidy.plan(spec) == ()
    assert tidy.ssh(f"cat {FOLDER}/* | sort -u | tr -d '\\n'; ls {FOLDER} | wc -l") == f"x{COUNT}"

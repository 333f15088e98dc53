"""Times of phases, the hotkey, and what is left of interrupted runs."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from lab.fleet.hotkey import hotkey_address, hotkey_file
from lab.fleet.leftovers import end_engine_processes
from lab.fleet.phases import Phases


def test_a_failed_phase_is_timed_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    phases = Phases()
    with phases.phase("first"):
        pass
    with pytest.raises(ValueError, match="stop"), phases.phase("second"):
        raise ValueError("stop")
    assert list(phases.seconds) == ["first", "second"]
    console = Console(width=60)
    console.print(phases.table())
    shown = capsys.readouterr().out
    assert "== second: 0.0 s" in shown
    assert "together" in shown


def test_the_hotkey_is_made_once_and_is_the_owners(tmp_path: Path) -> None:
    address = hotkey_address(tmp_path)
    assert address.startswith("5")
    assert hotkey_address(tmp_path) == address
    assert stat.S_IMODE(hotkey_file(tmp_path).stat().st_mode) == 0o600


def test_processes_of_this_engine_are_ended_and_no_others(tmp_path: Path) -> None:
    ours = subprocess.Popen(["sleep", "60"], env={**os.environ, "PULUMI_HOME": str(tmp_path / "ours")})
    other = subprocess.Popen(["sleep", "60"], env={**os.environ, "PULUMI_HOME": str(tmp_path / "other")})
    try:
        assert end_engine_processes(tmp_path / "ours") == 1
        assert ours.wait(5) != 0
        assert other.poll() is None
    finally:
        for process in (ours, other):
            process.kill()
            process.wait()

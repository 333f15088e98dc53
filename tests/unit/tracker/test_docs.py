"""docs/tracker.md names every command, variable and exit code that there is, and none that there is not."""

from __future__ import annotations

import re
from pathlib import Path

from tracker.cli.main import app
from tracker.errors import ExitCode
from tracker.settings import TrackerSettings

TEXT = (Path(__file__).parents[3] / "docs" / "tracker.md").read_text(encoding="utf-8")


def test_every_command_is_named() -> None:
    commands = {name for name in app.resolved_commands() if not name.startswith("-")}
    assert {"snapshot", "analyze", "compare", "cost", "backfill", "report", "watch"} <= commands
    assert set(re.findall(r"`tracker ([a-z]+)", TEXT)) == commands


def test_every_variable_is_named() -> None:
    assert set(re.findall(r"`TRACKER_([A-Z_]+)`", TEXT)) == {name.upper() for name in TrackerSettings.model_fields}


def test_every_exit_code_is_named() -> None:
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)} == {int(code) for code in ExitCode}

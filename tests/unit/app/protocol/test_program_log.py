"""No program's log shows the values of variables, whatever fails in it (law 3)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from app.protocol.program_log import configure_log

ROOT = Path(__file__).parents[4]
#: Every program of ours that logs by structlog, by the file that sets it up.
PROGRAMS = (
    "agent/watch/__main__.py",
    "app/api/main.py",
    "app/audit/__main__.py",
    "app/gepetto/__main__.py",
    "app/observe/__main__.py",
)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def _fail() -> None:
    seed = "5eed" * 16
    raise ValueError(f"a seed has 64 digits, this one {len(seed)}")


def test_a_traceback_names_places_and_shows_no_value(capsys: pytest.CaptureFixture[str]) -> None:
    configure_log("INFO")
    try:
        _fail()
    except ValueError:
        structlog.get_logger("a-program").exception("it failed", server="gpu-1")
    written = capsys.readouterr().out
    assert "5eed" * 16 not in written
    assert "locals" not in written
    for expected in ("it failed", "server=gpu-1", "in _fail", "ValueError: a seed has 64 digits, this one 64"):
        assert expected in written


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_log("warning")
    log = structlog.get_logger("a-program")
    log.info("quiet")
    log.warning("loud")
    assert "quiet" not in (written := capsys.readouterr().out)
    assert "loud" in written


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_sets_its_log_up_here_and_nowhere_else(program: str) -> None:
    text = (ROOT / program).read_text()
    assert "configure_log(" in text
    assert "structlog.configure(" not in text

"""What is shown while a command waits, and where nothing may be shown."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from app.cli.progress import working


def screen(*, terminal: bool) -> tuple[Console, io.StringIO]:
    written = io.StringIO()
    return Console(file=written, force_terminal=terminal, width=120), written


def test_a_terminal_shows_what_is_waited_for_and_how_it_goes_on() -> None:
    console, written = screen(terminal=True)
    with working("asking the validator", console) as change:
        change("still [asking]")
    assert "still [asking]" in written.getvalue()
    assert "0:00:00" in written.getvalue()


def test_a_pipe_stays_empty() -> None:
    console, written = screen(terminal=False)
    with working("asking the validator", console) as change:
        change("still asking")
    assert written.getvalue() == ""


def test_a_failure_leaves_the_line_and_goes_on() -> None:
    console, _ = screen(terminal=True)
    with pytest.raises(LookupError, match="away"), working("asking", console):
        raise LookupError("away")
    assert not console._live_stack

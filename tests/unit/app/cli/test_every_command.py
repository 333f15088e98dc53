"""Rules that hold for every command alike."""

from __future__ import annotations

from collections.abc import Iterator

import cyclopts
import pytest

from app.cli.main import app


def commands(parent: cyclopts.App, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name in parent:
        if name.startswith("-"):
            continue
        child = parent[name]
        if child.default_command is None:
            yield from commands(child, (*path, name))
        else:
            yield (*path, name)


ALL = tuple(commands(app))


def test_there_are_all_commands_of_the_public_client_and_why() -> None:
    assert len(ALL) == 32
    assert ("why",) in ALL


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_every_command_answers_in_json_and_explains_itself(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    app([*command, "--help"], exit_on_error=False, result_action="return_value")
    shown = capsys.readouterr().out
    assert "--json" in shown
    assert "--hotkey" in shown

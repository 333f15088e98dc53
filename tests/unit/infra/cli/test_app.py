"""The command as a whole: the miner's commands beside our own, and how it ends."""

from __future__ import annotations

import pytest

from infra.cli.app import run
from infra.cli.recover import Recovery, StillRunningError


def test_what_concerns_running_chutes_is_the_miners_own_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["why", "--help"]) == 0
    assert "Why something does not earn" in capsys.readouterr().out
    assert run(["lock", "--hotkey", "/nowhere", "--name", "gpu-0"]) == 1
    assert "hotkey file cannot be read" in capsys.readouterr().err


def test_an_unknown_command_is_told_from_a_failed_one() -> None:
    assert run(["rebot"]) == 2


def test_recovery_says_what_it_did_or_why_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [Recovery(("freed the lock",)), Recovery(())]

    def settle(engine: object) -> Recovery:
        if not found:
            raise StillRunningError("the stack is in use")
        return found.pop(0)

    monkeypatch.setattr("infra.cli.app.recover_stack", settle)
    assert run(["recover"]) == 0
    assert "freed the lock" in capsys.readouterr().out
    assert run(["recover"]) == 0
    assert "Nothing to recover" in capsys.readouterr().out
    assert run(["recover"]) == 1
    assert "in use" in capsys.readouterr().err


def test_gepettos_commands_are_there_and_loaded_only_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["gepetto", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("check", "diff", "shadow", "simulate"))
    assert run(["simulate", "--strategy", "nothing"]) == 2
    assert "no strategy is called 'nothing'" in capsys.readouterr().err

"""What the commands about the stack ask the engine, and what they say where it fails. The engine is a script here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.cli import engine as engine_module
from infra.cli.app import run
from infra.cli.engine import CLONE, Engine, EngineError
from tests.support.engine import eventually
from tests.support.specs import host_spec


@pytest.fixture(autouse=True)
def interrupts() -> Iterator[None]:
    """Children hear interrupts, also where the tests run in a background job, whose shell has them ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `pulumi` that keeps its arguments in the file `asked` beside it and does what `answer` says."""
    program = tmp_path / "pulumi"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n. {tmp_path}/answer\n')
    program.chmod(0o755)
    (tmp_path / "answer").write_text("true")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def asked(pulumi: Path) -> list[str]:
    return (pulumi / "asked").read_text().splitlines()


def test_an_update_of_parts_is_asked_for_by_their_resources_and_ends_as_the_engine_does(pulumi: Path) -> None:
    assert run(["up", "--only", "api", "--preview", "--stack", "prod"]) == 0
    (command,) = asked(pulumi)
    assert command.startswith("preview --target ")
    assert command.endswith(" --stack prod")
    (pulumi / "answer").write_text("exit 7")
    assert run(["up", "--yes"]) == 7
    assert asked(pulumi)[-1] == "up --yes"


def test_an_unknown_part_is_told_and_the_engine_is_not_asked(pulumi: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["up", "--only", "everything"]) == 2
    assert "everything" in capsys.readouterr().err
    assert not (pulumi / "asked").exists()


def test_the_inventory_holds_the_machines_of_the_state_and_no_secret(
    pulumi: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = host_spec()
    key = {"4dabf18193072939515e22adb298388d": "1b47", "plaintext": json.dumps("marker")}
    outputs = {**json.loads(spec.to_json()), "privateKey": key}
    host = {"type": "headframe:index:Host", "urn": "urn:x::gpu-0", "outputs": outputs}
    (pulumi / "state").write_text(json.dumps({"deployment": {"resources": [host]}}))
    (pulumi / "answer").write_text(f"cat {pulumi}/state")
    assert run(["inventory"]) == 0
    shown = capsys.readouterr().out
    assert "'ssh_hostname': '203.0.113.7'" in shown
    assert "marker" not in shown
    (pulumi / "answer").write_text("echo no stack selected >&2; exit 1")
    assert run(["inventory"]) == 1
    assert "no stack selected" in capsys.readouterr().err


def test_a_doctor_without_a_stack_says_which_command_selects_one(
    pulumi: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pulumi / "answer").write_text("echo no stack selected >&2; exit 1")
    assert run(["doctor", "--json"]) == 2
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert "no stack selected" in checks["stack"]["seen"]


def test_a_stack_file_without_a_hotkey_registers_nothing(
    pulumi: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (pulumi / "Pulumi.prod.yaml").write_text("config: {}\n")
    monkeypatch.setenv("PULUMI_OPTION_CONFIG_FILE", str(pulumi / "Pulumi.prod.yaml"))
    assert run(["register", "wallet", "hotkey", "--stack", "prod"]) == 1
    assert "no miner.hotkey_ss58" in capsys.readouterr().err


def test_an_engine_that_is_not_there_or_hangs_or_fails_is_told(
    pulumi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pulumi / "answer").write_text("echo what it printed; exit 3")
    with pytest.raises(EngineError, match=r"pulumi stack export ended with 3:\nwhat it printed"):
        Engine(tmp_path).quietly("stack", "export")
    (pulumi / "answer").write_text("exec sleep 60")
    monkeypatch.setattr(engine_module, "_TIMEOUT_SECONDS", 0.2)
    with pytest.raises(EngineError, match="took more than"):
        Engine(tmp_path).quietly("preview")
    (pulumi / "pulumi").unlink()
    with pytest.raises(EngineError, match="pulumi is not on PATH"):
        Engine(tmp_path).quietly("preview")


@pytest.mark.parametrize("words", [["node", "list"], ["node", "drain", "gpu-0"], ["plan", "gpu-0"], ["up"]])
def test_a_command_without_a_stack_or_an_engine_says_so_in_one_line(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(words) == 1
    assert capsys.readouterr().err == "pulumi is not on PATH: install it, or `eval $(make env)` for the lab's\n"


@pytest.mark.parametrize(
    "text", ["config: [", "[]", "config: [1]", "a", "config: {headframe:control: {ssh: {port: x}}}"]
)
def test_a_stack_file_that_is_none_is_told_and_no_command_breaks(
    text: str, pulumi: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (pulumi / "Pulumi.prod.yaml").write_text(text)
    monkeypatch.setenv("PULUMI_OPTION_CONFIG_FILE", str(pulumi / "Pulumi.prod.yaml"))
    assert run(["doctor", "--json", "--stack", "prod"]) == 2
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert any(check["verdict"] == "fail" for check in checks if check["name"].startswith(("stack", "setting")))
    for words in (["plan", "gpu-0"], ["node", "drain", "gpu-0"], ["register", "w", "h"]):
        assert run([*words, "--stack", "prod"]) == 1
        assert capsys.readouterr().err


def test_a_stack_file_that_is_not_there_is_named_with_the_command_that_writes_it(
    pulumi: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PULUMI_OPTION_CONFIG_FILE", str(pulumi / "nowhere.yaml"))
    assert run(["node", "list", "--stack", "prod"]) == 1
    assert capsys.readouterr().err == f"{pulumi}/nowhere.yaml is not there: headframe init writes it\n"


_INTERRUPTED = """
import sys
from infra.cli.engine import Engine
print("up" if sys.argv[1] == "visibly" else "quiet", flush=True)
print(getattr(Engine(), sys.argv[1])("up"))
"""


@pytest.mark.parametrize("way", ["visibly", "quietly"])
def test_an_interrupt_lets_the_engine_give_back_its_lock(pulumi: Path, way: str) -> None:
    """As a terminal does it: every process of the group is told. The engine takes longer than a Python that is told."""
    trap = f"trap 'sleep 1; echo given back > {pulumi}/lock; exit 0' INT"
    (pulumi / "answer").write_text(f"{trap}; echo held > {pulumi}/lock; sleep 60 >&- 2>&- & wait")
    process = subprocess.Popen(
        [sys.executable, "-c", _INTERRUPTED, way], cwd=CLONE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert eventually(lambda: (pulumi / "lock").exists() and (pulumi / "lock").read_text() == "held\n")
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert (pulumi / "lock").read_text() == "given back\n"


def test_an_engine_that_takes_too_long_is_told_to_end_before_it_is_killed(
    pulumi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pulumi / "answer").write_text(f"trap 'echo given back > {pulumi}/lock; exit 0' INT; sleep 60 >&- 2>&- & wait")
    monkeypatch.setattr(engine_module, "_TIMEOUT_SECONDS", 3.0)
    with pytest.raises(EngineError, match="took more than 3 s"):
        Engine().quietly("refresh")
    assert (pulumi / "lock").read_text() == "given back\n"


def test_what_an_engine_that_failed_had_decrypted_is_not_repeated(pulumi: Path) -> None:
    (pulumi / "answer").write_text("echo the-secret; echo broken >&2; exit 1")
    with pytest.raises(EngineError, match="broken") as caught:
        Engine().json("stack", "export", "--show-secrets")
    assert "the-secret" not in str(caught.value)

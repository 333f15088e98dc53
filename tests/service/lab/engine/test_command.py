"""The `command` stand-in answers as the official provider did when it was recorded."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import Project, eventually
from tests.support.vectors import Call, Provider, cases, comparable, differences

pytestmark = pytest.mark.service

CASES = cases(Path(__file__).parent / "vectors" / "command.jsonl.gz")
#: What the stand-in does not do, with the reason. Nothing of ours uses it.
MISSING_CASES = {
    "remote-preview": "commands on other machines are the host runner's business: command.remote is not used"
}
MISSING_STEPS = {"interpreter-and-folder": ("assets", "images are built by their own builder: no assets are collected")}
ANNOUNCEMENT = "command: this is the lab's stand-in, not the official provider"


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    with Provider((sys.executable, "-P", "-m", "lab.engine.command"), environment, tmp_path) as process:
        yield process


def calls_of(case: str) -> list[Call]:
    prefix, _ = MISSING_STEPS.get(case, ("-", ""))
    return [call for call in CASES[case] if not call.step.startswith(prefix)]


@pytest.mark.parametrize("case", sorted(CASES.keys() - MISSING_CASES.keys()))
def test_a_recorded_case_is_answered_alike(case: str, provider: Provider, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    found: list[str] = []
    calls = calls_of(case)
    for call in calls:
        answer = provider.play(call)
        answer["logs"] = [note for note in answer.get("logs", []) if note["message"] != ANNOUNCEMENT]
        answer = {key: value for key, value in answer.items() if value != []}
        found += [f"{call.step}: {text}" for text in differences(comparable(call.answer), comparable(answer))]
    assert len(calls) >= 5
    assert found == []


def test_what_is_missing_is_refused_by_name(provider: Provider) -> None:
    remote = next(call for call in CASES["remote-preview"] if call.method == "Check")
    assert "has command:local:Command and no remote:Command" in provider.play(remote)["error"]["message"]
    assets = next(
        c for c in CASES["interpreter-and-folder"] if c.method == "Check" and "assetPaths" in c.request["news"]
    )
    failures = provider.play(assets)["response"]["failures"]
    assert {failure["property"] for failure in failures} == {"archivePaths", "assetPaths"}


def test_a_secret_command_is_not_quoted_when_it_fails(provider: Provider) -> None:
    create = next(call for call in CASES["secrets"] if call.step == "secret command: real")
    request = {
        **create.request,
        "properties": {"create": {**create.request["properties"]["create"], "value": "exit 9"}},
    }
    answer = provider.play(Call("failing", "Create", request, {}))
    assert answer["error"]["message"].startswith('exit status 9: running "[secret]"')


def test_the_real_engine_runs_commands_and_their_triggers(project: Project) -> None:
    project.write(
        "__main__.py",
        "import pulumi\nfrom pulumi_command import local\n\n"
        "once = local.Command('once', create='echo made', delete='touch deleted',\n"
        "                     triggers=[pulumi.Config().require('trigger')])\n"
        "pulumi.export('said', once.stdout)\n",
    )
    project.run("config", "set", "trigger", "one")
    first = project.run("up", "--yes", "--skip-preview")
    assert ANNOUNCEMENT in first.stdout
    assert project.run("stack", "output", "said").stdout.strip() == "made"
    assert "2 unchanged" in project.run("up", "--yes", "--skip-preview").stdout
    project.run("config", "set", "trigger", "two")
    assert "+-1 to replace" in project.run("preview").stdout
    project.run("destroy", "--yes", "--skip-preview")
    assert (project.folder / "deleted").exists()
    assert eventually(lambda: project.processes() == {}), project.processes()


def test_a_killed_engine_ends_the_running_command(project: Project) -> None:
    project.write(
        "__main__.py", "from pulumi_command import local\n\nlocal.Command('long', create='touch begun; sleep 600')\n"
    )
    engine = project.start("up", "--yes", "--skip-preview")
    assert eventually((project.folder / "begun").exists, 30)
    engine.kill()
    engine.communicate(timeout=10)
    assert eventually(lambda: project.processes() == {}), project.processes()

"""The language host under the real engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support import thing_provider
from tests.support.engine import Project, eventually

pytestmark = pytest.mark.service

SECRET = "correct-horse-battery"
WAITING = "import pathlib, time\npathlib.Path('waiting').touch()\ntime.sleep(600)\n"
PAUSE = WAITING.replace("time.sleep(600)", "while not pathlib.Path('go').exists():\n    time.sleep(0.05)")


def test_a_program_runs_in_preview_and_up(project: Project) -> None:
    project.write("__main__.py", "import pulumi\nprint('said by the program')\npulumi.export('answer', 42)\n")
    preview = project.run("preview")
    assert "+ 1 to create" in preview.stdout
    assert "said by the program" in preview.stdout
    project.run("up", "--yes", "--skip-preview")
    assert json.loads(project.run("stack", "output", "--json").stdout) == {"answer": 42}
    assert "1 unchanged" in project.run("preview").stdout
    assert project.processes() == {}


def test_secret_configuration_reaches_the_program_and_nothing_else(project: Project) -> None:
    project.write(
        "__main__.py",
        "import pulumi\n\nword = pulumi.Config().require_secret('word')\npulumi.export('word', word)\n" + PAUSE,
    )
    project.run("config", "set", "--secret", "word", SECRET)
    engine = project.start("up", "--yes", "--skip-preview")
    assert eventually((project.folder / "waiting").exists)
    seen = b"".join(
        Path(f"/proc/{pid}/{name}").read_bytes() for pid in project.processes() for name in ("cmdline", "environ")
    )
    (project.folder / "go").touch()
    output, _ = engine.communicate(timeout=30)
    assert engine.returncode == 0, output
    assert b"language" in seen
    assert SECRET.encode() not in seen
    assert SECRET not in output
    assert "ciphertext" in (state := project.run("stack", "export").stdout)
    assert SECRET not in state


def test_an_exception_shows_the_users_frames_alone(project: Project) -> None:
    project.write("__main__.py", "from parts import build\n\nbuild()\n")
    project.write("parts.py", "def build():\n    raise ValueError('no such thing')\n")
    failed = project.run("preview", check=False)
    assert failed.returncode != 0
    assert "ValueError: no such thing" in failed.stdout
    assert 'parts.py", line 2, in build' in failed.stdout
    assert "runpy" not in failed.stdout
    assert "ended with status" not in failed.stdout


def test_a_run_error_is_one_line(project: Project) -> None:
    project.write("__main__.py", "import pulumi\n\nraise pulumi.RunError('set fleet:nodes first')\n")
    failed = project.run("preview", check=False)
    assert failed.returncode != 0
    assert "error: set fleet:nodes first" in failed.stdout
    assert "Traceback" not in failed.stdout


def test_a_program_that_ends_itself_is_an_error(project: Project) -> None:
    project.write("__main__.py", "import os\n\nos._exit(7)\n")
    failed = project.run("preview", check=False)
    assert failed.returncode != 0
    assert "the program ended with status 7" in failed.stdout + failed.stderr


def test_about_and_install_answer(project: Project) -> None:
    about = project.run("about", "--json")
    answer = json.loads(about.stdout)
    assert answer["runtime"]["language host"] == "headframe lab stand-in"
    assert "headframe" in {package["name"] for package in answer["dependencies"]}
    assert "nothing to install" in project.run("install").stdout


def test_an_unknown_toolchain_is_refused_by_name(project: Project) -> None:
    project.write("Pulumi.yaml", "name: tiny\nruntime:\n  name: python\n  options:\n    toolchain: poetry\n")
    failed = project.run("preview", check=False)
    assert "toolchain is 'poetry'" in failed.stdout + failed.stderr


def test_a_killed_engine_leaves_no_process(project: Project) -> None:
    project.write("__main__.py", WAITING)
    engine = project.start("preview")
    assert eventually((project.folder / "waiting").exists)
    engine.send_signal(signal.SIGKILL)
    engine.communicate(timeout=10)
    assert eventually(lambda: project.processes() == {}), project.processes()


def test_a_closed_pipe_leaves_no_process(project: Project) -> None:
    project.write("__main__.py", "import time\nfor i in range(100):\n    print('line', i)\n    time.sleep(0.2)\n")
    subprocess.run(
        ["bash", "-c", "pulumi --non-interactive preview | head -n 2"],
        cwd=project.folder,
        env=project.environment,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert eventually(lambda: project.processes() == {}), project.processes()


def test_a_killed_language_host_takes_the_program_with_it(project: Project) -> None:
    project.write("__main__.py", WAITING)
    engine = project.start("preview")
    assert eventually((project.folder / "waiting").exists)
    host = next(pid for pid, command in project.processes().items() if "lab.engine.language" in command)
    os.kill(host, signal.SIGKILL)
    engine.communicate(timeout=30)
    assert engine.returncode != 0
    assert eventually(lambda: project.processes() == {}), project.processes()


def test_an_interrupted_preview_ends_a_program_that_ignores_signals(project: Project) -> None:
    project.write("__main__.py", "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n" + WAITING)
    engine = project.start("preview")
    assert eventually((project.folder / "waiting").exists)
    for _ in range(2):  # the first asks, the second insists
        engine.send_signal(signal.SIGINT)
    engine.communicate(timeout=40)
    assert engine.returncode != 0
    assert eventually(lambda: project.processes() == {}), project.processes()


@pytest.fixture
def things(project: Project) -> Project:
    """A project with a provider of its own, in Python, in its own folder."""
    project.write("Pulumi.yaml", thing_provider.PROJECT)
    project.write("provider/PulumiPlugin.yaml", "runtime: python\n")
    project.write("provider/__main__.py", Path(thing_provider.__file__).read_text())
    return project


def test_a_provider_in_python_serves_the_program(things: Project) -> None:
    things.write("__main__.py", thing_provider.PROGRAM + "Thing('a', colour='red')\n")
    assert "+ 2 created" in things.run("up", "--yes", "--skip-preview").stdout
    assert "2 unchanged" in things.run("up", "--yes", "--skip-preview").stdout
    things.write("__main__.py", thing_provider.PROGRAM + "Thing('a', colour='blue')\n")
    assert "~ 1 to update" in things.run("preview").stdout
    assert "- 2 deleted" in things.run("destroy", "--yes", "--skip-preview").stdout
    assert eventually(lambda: things.processes() == {}), things.processes()


def test_a_killed_engine_takes_the_provider_with_it(things: Project) -> None:
    things.write("__main__.py", thing_provider.PROGRAM + "Thing('a', seconds=60)\n")
    engine = things.start("up", "--yes", "--skip-preview")
    assert eventually(lambda: any("/provider " in command for command in things.processes().values()))
    engine.send_signal(signal.SIGKILL)
    engine.communicate(timeout=10)
    assert eventually(lambda: things.processes() == {}), things.processes()


def test_a_policy_pack_in_python_can_say_no(things: Project, tmp_path: Path) -> None:
    things.write("__main__.py", thing_provider.PROGRAM + "Thing('a', colour='red')\n")
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "PulumiPolicy.yaml").write_text("runtime: python\n")
    (pack / "__main__.py").write_text(
        "from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy\n\n\n"
        "def refuse(args, report):\n"
        "    if args.props.get('colour') == 'red':\n"
        "        report('no red things')\n\n\n"
        "PolicyPack('rules', enforcement_level=EnforcementLevel.MANDATORY,\n"
        "           policies=[ResourceValidationPolicy('no-red', 'none', refuse)])\n"
    )
    refused = things.run("preview", "--policy-pack", str(pack), check=False)
    assert refused.returncode != 0
    assert "no red things" in refused.stdout
    things.write("__main__.py", thing_provider.PROGRAM + "Thing('a', colour='blue')\n")
    things.run("preview", "--policy-pack", str(pack))
    assert eventually(lambda: things.processes() == {}), things.processes()

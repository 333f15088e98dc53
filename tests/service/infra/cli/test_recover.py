"""An engine that was killed for real, and what `headframe recover` makes of what it left."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

from infra.cli.engine import Engine
from infra.cli.pending import pending_operations
from infra.cli.rebuilt import forget_cluster
from infra.cli.recover import StillRunningError, recover
from tests.support import clusters_in_state, thing_provider
from tests.support.engine import Project, eventually

pytestmark = pytest.mark.service

SLOW = thing_provider.PROGRAM + "Thing('quick')\nThing('slow', seconds=60)\n"
FAST = thing_provider.PROGRAM + "Thing('quick')\nThing('slow')\n"


def engine_of(project: Project) -> Engine:
    return Engine(folder=project.folder, stack="dev", environment=project.environment)


def creating(project: Project) -> bool:
    """Whether the quick one is made and the slow one alone is under way."""
    path = project.state / "pulumi" / ".pulumi" / "stacks" / "tiny" / "dev.json"
    try:
        latest = json.loads(path.read_text())["checkpoint"]["latest"] or {}
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    pending = [item["resource"]["urn"].rpartition("::")[2] for item in latest.get("pending_operations") or []]
    return pending == ["slow"] and any(item["urn"].endswith("::quick") for item in latest.get("resources") or [])


@pytest.fixture
def running(things: Project) -> tuple[Project, subprocess.Popen[str]]:
    """An update in the middle of a slow creation."""
    things.write("__main__.py", SLOW)
    engine = things.start("up", "--yes", "--skip-preview")
    assert eventually(lambda: creating(things), 40)
    return things, engine


def test_a_killed_engine_is_recovered_and_the_next_update_repairs(
    running: tuple[Project, subprocess.Popen[str]],
) -> None:
    project, engine = running
    engine.send_signal(signal.SIGKILL)
    engine.communicate(timeout=10)
    assert "locked" in project.run("up", "--yes", "--skip-preview", check=False).stderr
    done = recover(engine_of(project), project="tiny").done
    assert "freed the lock of an engine that is gone" in done[0]
    assert done[1:] == ("will be done anew: creating thing:index:Thing slow",)
    assert pending_operations(json.loads(project.run("stack", "export").stdout)) == []
    project.write("__main__.py", FAST)
    repaired = project.run("up", "--yes", "--skip-preview")
    assert "1 created" in repaired.stdout
    assert "pending operations" not in repaired.stdout + repaired.stderr
    assert recover(engine_of(project), project="tiny").done == ()


def test_a_running_engine_is_left_alone(running: tuple[Project, subprocess.Popen[str]]) -> None:
    project, engine = running
    with pytest.raises(StillRunningError, match=f"process {engine.pid}"):
        recover(engine_of(project), project="tiny")
    assert engine.poll() is None
    assert creating(project)


def test_the_objects_of_a_cluster_that_was_removed_are_forgotten_and_the_engine_takes_the_rest(things: Project) -> None:
    engine = engine_of(things)
    state = json.loads(engine.quietly("stack", "export"))
    state["deployment"]["resources"] = clusters_in_state.resources()
    engine.quietly("stack", "import", stdin=json.dumps(state))
    assert forget_cluster(engine, "gpu-0") == 2
    left = {item["urn"] for item in json.loads(engine.quietly("stack", "export"))["deployment"]["resources"]}
    assert left == {item["urn"] for item in clusters_in_state.resources()} - {
        clusters_in_state.NAMESPACE,
        clusters_in_state.AGENT,
    }
    assert forget_cluster(engine, "gpu-0") == 0

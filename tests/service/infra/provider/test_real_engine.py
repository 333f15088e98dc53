"""Hosts under the real engine: a dead node stops nobody (D7), a further one touches nobody, no secret lies in plain."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.spec import HostSpec
from lab.engine.environment import backend_folder
from lab.engine.toolchain import Toolchain
from tests.support.engine import Project, eventually
from tests.support.provider import ROOT
from tests.support.specs import key_pair
from tests.support.sshd import LoopbackSshd

pytestmark = pytest.mark.service

_PROGRAM = """\
import json
from pathlib import Path

from infra.resources.host import Host, HostArgs
from infra.spec import HostDeclaration

key = Path("key").read_text()
for name, declared in json.loads(Path("hosts.json").read_text()).items():
    Host(name, HostArgs(declared=HostDeclaration.model_validate(declared), private_key=key))
"""


class Fleet:
    """A project whose hosts are all this machine, each with a file of its own."""

    def __init__(self, project: Project, sshd: LoopbackSshd, folder: Path) -> None:
        self.project = project
        self._sshd = sshd
        self._folder = folder

    def host(self, name: str, content: str = "x", **changes: object) -> HostSpec:
        file = {"path": str(self._folder / name), "content": content}
        return self._sshd.spec(name=name, on_delete="forget", base={"files": [file]}, **changes)

    def declare(self, *hosts: HostSpec) -> None:
        secret = {"private_key", "images", "registry_credentials", "clusters"}
        declared = {item.name: item.model_dump(mode="json", by_alias=True, exclude=secret) for item in hosts}
        self.project.write("hosts.json", json.dumps(declared))

    def operations(self, *arguments: str) -> Mapping[str, str]:
        """What a preview would do to each host."""
        done = self.project.run("preview", "--json", *arguments)
        steps: list[dict[str, Any]] = json.loads(done.stdout)["steps"]
        return {step["urn"].rpartition("::")[2]: step["op"] for step in steps if "Host::" in step["urn"]}


@pytest.fixture(scope="module")
def fleet(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("engine")
    project = Project(
        folder / "project",
        toolchain,
        {"HEADFRAME_PYTHON": sys.executable, "PULUMI_CONTINUE_ON_ERROR": "true", "PYTHONPATH": str(ROOT)},
    )
    provider = ROOT / "infra" / "provider"
    project.write(
        "Pulumi.yaml",
        f"name: headframe\nruntime: python\nplugins:\n  providers:\n    - {{name: headframe, path: {provider}}}\n",
    )
    project.write("__main__.py", _PROGRAM)
    project.write("hosts.json", "{}")
    project.run("stack", "init", "dev")
    project.write("key", key_pair("client")[0])
    with LoopbackSshd(folder / "sshd") as sshd:
        yield Fleet(project, sshd, folder / "files")
    project.end_all()


def test_a_dead_node_with_nothing_pending_is_a_warning_and_no_failure(fleet: Fleet) -> None:
    one, two = fleet.host("one"), fleet.host("two")
    fleet.declare(one, two)
    fleet.project.run("up", "--yes", "--skip-preview")
    state = json.loads(fleet.project.run("stack", "export").stdout)
    for resource in state["deployment"]["resources"]:
        if resource["urn"].endswith("::two"):  # the machine dies: nobody answers at its address any more
            resource["inputs"]["port"] = resource["outputs"]["port"] = 1
    fleet.project.write("state.json", json.dumps(state))
    fleet.project.run("stack", "import", "--file", "state.json")
    fleet.declare(one, two.model_copy(update={"port": 1}))
    done = fleet.project.run("up", "--yes", "--skip-preview")
    assert "two does not answer" in done.stdout
    assert "unchanged" in done.stdout


def test_a_change_pending_on_a_dead_node_lets_the_others_finish_and_fails_the_run(fleet: Fleet) -> None:
    fleet.declare(fleet.host("one", "changed"), fleet.host("two", "changed", port=1))
    done = fleet.project.run("up", "--yes", "--skip-preview", check=False)
    assert done.returncode != 0
    assert "two does not take SSH" in done.stdout
    assert (fleet._folder / "one").read_text() == "changed\n"
    assert (fleet._folder / "two").read_text() == "x\n"


def test_a_further_node_touches_none_of_the_others(fleet: Fleet) -> None:
    one, two = fleet.host("one", "changed"), fleet.host("two", "changed")
    fleet.declare(one, two)
    fleet.project.run("up", "--yes", "--skip-preview")
    fleet.declare(fleet.host("three"), one, two)
    # A preview lists only what it would do; the automatic refresh of the others is no change.
    assert {name: op for name, op in fleet.operations().items() if op != "refresh"} == {"three": "create"}


def test_no_key_is_in_plain_in_the_state(fleet: Fleet) -> None:
    export = fleet.project.run("stack", "export").stdout
    assert "privateKey" in export
    assert "PRIVATE KEY" not in export


def test_a_second_operators_update_is_refused_with_the_first_ones_name(fleet: Fleet) -> None:
    fleet.declare(*(fleet.host(name, "by two operators") for name in ("one", "two")))
    locks = backend_folder(fleet.project.state) / ".pulumi" / "locks"
    first = fleet.project.start("up", "--yes", "--skip-preview")
    assert eventually(lambda: any(locks.rglob("*.json")), 60)
    second = fleet.project.run("up", "--yes", "--skip-preview", check=False)
    assert second.returncode != 0
    assert f"pid {first.pid}" in second.stdout + second.stderr
    said, _ = first.communicate(timeout=120)
    assert first.returncode == 0, said
    assert (fleet._folder / "one").read_text() == "by two operators\n"

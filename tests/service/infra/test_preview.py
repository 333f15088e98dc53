"""Previews by the real engine: the program as it is, and rules that stop it with and without the policy pack."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from infra.cli.engine import Engine, EngineError, engine_environment
from lab.engine.environment import engine_environment as lab_environment
from lab.engine.toolchain import Toolchain
from tests.support.engine import Project
from tests.support.settings import CLONE, fleet, gpu_node

pytestmark = pytest.mark.service

TRANSFORM = """import pulumi, pulumi_kubernetes as kubernetes
from infra.settings import FleetSettings
from infra.transforms import register_transforms

register_transforms(FleetSettings.model_validate(%r))
cluster = kubernetes.Provider('c', kubeconfig='x', cluster_identifier='c')
kubernetes.core.v1.Pod('bad', metadata={'name': 'bad', 'namespace': 'chutes'},
    spec={'containers': [{'name': 'a', 'image': 'postgres:16'}]}, opts=pulumi.ResourceOptions(provider=cluster))
"""


@dataclass
class Stack:
    """The program of this clone on a stack of its own. No machine is there: loopback refuses at once."""

    engine: Engine
    file: Path

    def write(self, values: Mapping[str, Any]) -> None:
        kept = YAML(typ="safe").load(self.file.read_text()) if self.file.exists() else {}
        secrets = {key: item for key, item in kept.get("config", {}).items() if "secure" in str(item)}
        document = {**kept, "config": {**{f"headframe:{key}": item for key, item in values.items()}, **secrets}}
        text = io.StringIO()
        YAML(typ="safe").dump(document, text)
        self.file.write_text(text.getvalue())

    def preview(self, *, pack: bool) -> str:
        environment = dict(self.engine.environment)
        if not pack:
            del environment["PULUMI_OPTION_POLICY_PACK"]
        return Engine(folder=CLONE, environment=environment).quietly("preview")


def local_fleet(**changes: Any) -> dict[str, Any]:
    values = fleet(gpu_nodes=[gpu_node("gpu-0", "127.0.1.2")], allowances={"networks": ["127.0.0.0/8"]})
    values["control"]["address"] = "127.0.1.1"
    values["gpu_runtime"] = {"chart": "lab/gpus/chart"}
    for machine in (values["control"], *values["gpu_nodes"]):
        machine["ssh"] |= {"port": 9, "connect_timeout_seconds": 2}
    return values | changes


@pytest.fixture
def stack(tmp_path: Path, toolchain: Toolchain) -> Stack:
    file = tmp_path / "Pulumi.test.yaml"
    state = tmp_path / "state"
    state.mkdir()
    environment = lab_environment(toolchain, state, {**os.environ, "VIRTUAL_ENV": str(CLONE / ".venv")})
    environment |= engine_environment({}) | {"PULUMI_STACK": "test", "PULUMI_OPTION_CONFIG_FILE": str(file)}
    environment["HEADFRAME_CACHE"] = str(tmp_path / "cache")
    (tmp_path / "Pulumi.yaml").write_text("name: headframe\nruntime: python\n")
    Engine(folder=tmp_path, environment=environment).quietly("stack", "init", "test")
    made = Stack(Engine(folder=CLONE, environment=environment), file)
    made.write(local_fleet())
    made.engine.quietly("config", "set", "--secret", "ssh_private_key", stdin="marker-no-key")
    return made


def test_the_program_previews_and_the_pack_agrees(stack: Stack) -> None:
    shown = stack.preview(pack=True)
    assert "to create" in shown
    assert "headframe:index:Host" in shown
    assert "kubernetes:apps/v1:StatefulSet" in shown
    assert "marker" not in shown


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (local_fleet(gpu_nodes=[gpu_node("gpu-0", "127.0.1.2", ram_gib=64)]), "gpu-ram-covers-vram"),
        (local_fleet(allowances={}), "is not a public unicast address"),
    ],
)
def test_a_plain_preview_stops_at_a_broken_rule_and_says_how_to_mend_it(
    stack: Stack, values: dict[str, Any], message: str
) -> None:
    stack.write(values)
    with pytest.raises(EngineError) as caught:
        stack.preview(pack=False)
    assert message in str(caught.value)


def test_a_kubernetes_rule_stops_a_plain_preview(things: Project) -> None:
    things.write("__main__.py", TRANSFORM % local_fleet())
    things.extra = {"PYTHONPATH": str(CLONE)}
    failed = things.run("preview", check=False)
    assert failed.returncode != 0
    assert "container a runs postgres:16" in failed.stdout + failed.stderr
    assert "[image-digest]" in failed.stdout + failed.stderr

"""Previews by the real engine: the program as it is, and rules that stop it with and without the policy pack."""

from __future__ import annotations

from typing import Any

import pytest

from infra.cli.engine import EngineError
from tests.support.engine import Project
from tests.support.preview_stack import Stack, local_fleet
from tests.support.settings import CLONE, gpu_node

pytestmark = pytest.mark.service

TRANSFORM = """import pulumi, pulumi_kubernetes as kubernetes
from infra.settings import FleetSettings
from infra.transforms import register_transforms

register_transforms(FleetSettings.model_validate(%r))
cluster = kubernetes.Provider('c', kubeconfig='x', cluster_identifier='c')
kubernetes.core.v1.Pod('bad', metadata={'name': 'bad', 'namespace': 'chutes'},
    spec={'containers': [{'name': 'a', 'image': 'postgres:16'}]}, opts=pulumi.ResourceOptions(provider=cluster))
"""


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

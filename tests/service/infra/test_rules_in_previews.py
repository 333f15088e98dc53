"""Every mandatory rule stops a preview of the real engine with its own message: by settings and transform where nobody
loaded the policy pack, and by the pack alone where a program knows neither."""

from __future__ import annotations

from typing import Final

import pytest

from infra.cli.engine import EngineError
from policies.rules import catalogue
from policies.rules.model import Level
from tests.support.engine import Project
from tests.support.preview_stack import Stack, local_fleet
from tests.support.settings import CLONE, gpu_node

pytestmark = pytest.mark.service

#: Objects of which each breaks rules, on a cluster that is never asked.
_OBJECTS: Final = {
    "pod": """kubernetes.core.v1.Pod('pod', metadata={'name': 'pod'}, spec={'containers': [{'name': 'a',
    'image': 'postgres:16', 'args': ['--axon'], 'env': [{'name': 'WALLET_SEED', 'value': 'x'}]}]}, opts=here)""",
    "service": """kubernetes.core.v1.Service('service', metadata={'name': 's', 'namespace': 'chutes'},
    spec={'ports': [{'port': 80, 'node_port': 80}]}, opts=here)""",
    "volume": """kubernetes.core.v1.PersistentVolume('volume', metadata={'name': 'v'}, spec={'capacity': {}},
    opts=here)""",
}
_BROKEN_BY: Final = {
    "pod": (
        catalogue.K8S_EXPLICIT_PROVIDER, catalogue.IMAGE_DIGEST, catalogue.SECRET_SHAPE, catalogue.AXON_SILENT
    ),
    "service": (catalogue.NODEPORT_RANGE,),
    "volume": (catalogue.DATA_PROTECTED,),
}  # fmt: skip
_CLUSTER: Final = """import pulumi, pulumi_kubernetes as kubernetes
cluster = kubernetes.Provider('c', kubeconfig='x', cluster_identifier='c')
here = pulumi.ResourceOptions(provider=cluster)
"""
_TRANSFORM: Final = """from infra.settings import FleetSettings
from infra.transforms import register_transforms
register_transforms(FleetSettings.model_validate(%r))
"""
#: On the default provider, which no transform of ours lets through.
_NOWHERE: Final = "\nkubernetes.core.v1.ConfigMap('nowhere', metadata={'name': 'n', 'namespace': 'chutes'})\n"
_MACHINES: Final = """
class Part(pulumi.ComponentResource):
    def __init__(self, type_, name, **properties):
        super().__init__(type_, name, properties)
        self.register_outputs(properties)

bad = dict(role='gpu', publicIp='10.0.0.1', gpu='h100_sxm', gpuCount=8, ramGib=64, hotkeySs58='a', hostKey='')
Part('headframe:infra:GpuNode', 'gpu-0', nodeName='gpu-0', **bad)
Part('headframe:infra:GpuNode', 'gpu-1', nodeName='localhost', **{**bad, 'hotkeySs58': 'b', 'simulatedGpus': True})
Part('headframe:infra:ControlPlane', 'control', nodeName='control', role='control', publicIp='9.0.0.1', cores=2,
     ramGib=8, hotkeySs58='a', hostKey='x')
Part('headframe:index:Host', 'gpu-0', facts={'osId': 'debian', 'osVersion': '12', 'kernel': '3.10.0', 'varSnapGib': 10,
     'egressAddresses': ['9.0.0.9']})
"""


def test_declared_rules_stop_a_plain_preview_all_at_once(stack: Stack) -> None:
    nodes = [
        gpu_node("gpu-0", "10.0.0.1", ram_gib=64),
        gpu_node("localhost", "10.0.0.1", simulated_gpus=True),
    ]
    small = {**local_fleet()["control"], "cores": 2}
    stack.write(local_fleet(gpu_nodes=nodes, control=small))
    with pytest.raises(EngineError) as caught:
        stack.preview(pack=False)
    broken = (
        catalogue.GPU_RAM_COVERS_VRAM, catalogue.IP_PUBLIC, catalogue.IP_UNIQUE, catalogue.NODE_NAME,
        catalogue.SIMULATED_GPUS, catalogue.CONTROL_HOST_SIZE,
    )  # fmt: skip
    for rule in broken:
        assert f"[{rule.name}]" in str(caught.value), rule.name


@pytest.mark.parametrize("name", list(_OBJECTS))
def test_rules_for_objects_stop_a_plain_preview(things: Project, name: str) -> None:
    things.write("__main__.py", _CLUSTER + _TRANSFORM % local_fleet() + _OBJECTS[name])
    things.extra = {"PYTHONPATH": str(CLONE)}
    failed = things.run("preview", check=False)
    assert failed.returncode != 0
    for rule in _BROKEN_BY[name]:
        assert f"[{rule.name}]" in failed.stdout + failed.stderr, rule.name


def test_the_pack_alone_stops_a_preview_for_every_mandatory_rule(things: Project) -> None:
    things.write("__main__.py", _CLUSTER + "\n".join(_OBJECTS.values()) + _NOWHERE + _MACHINES)
    things.extra = {"PYTHONPATH": str(CLONE)}
    failed = things.run("preview", "--policy-pack", str(CLONE / "policies" / "pack"), check=False)
    said = failed.stdout + failed.stderr
    assert failed.returncode != 0
    silent = {rule.name for rule in catalogue.RULES.values() if rule.level is Level.MANDATORY and rule.name not in said}
    # What the chain says is asked by `headframe doctor --chain`.
    assert silent == {catalogue.UID_SINGLE.name}, said[-6000:]

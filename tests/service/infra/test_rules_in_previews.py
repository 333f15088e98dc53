"""Every mandatory rule stops a preview of the real engine with its own message: by settings, transform and host runner
where nobody loaded the policy pack, and by the pack alone where a program knows none of them."""

from __future__ import annotations

import platform
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from app.protocol.ports import HostPort
from infra.cli.engine import EngineError
from infra.settings.programs import PUBLIC_VALIDATOR
from policies.rules import catalogue
from policies.rules.model import Level, Rule
from policies.rules.observed import SUPPORTED_SYSTEM
from tests.support.engine import Project
from tests.support.preview_stack import Stack, local_fleet
from tests.support.settings import CLONE, gpu_node
from tests.support.specs import key_pair
from tests.support.sshd import LoopbackSshd

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
     ramGib=8, hotkeySs58='a', hostKey='x', validators=['ws://9.0.0.2:80'])
Part('headframe:index:Host', 'gpu-0', facts={'osId': 'debian', 'osVersion': '12', 'kernel': '3.10.0', 'varSnapGib': 10,
     'egressAddresses': ['9.0.0.9']})
"""


#: A validator that anybody on the way could speak for.
_PLAIN_VALIDATOR: Final = {"hotkey": PUBLIC_VALIDATOR, "api": "http://9.0.0.2:80", "socket": "ws://9.0.0.2:80"}
#: Rules that these settings break.
_DECLARED: Final = (
    catalogue.GPU_RAM_COVERS_VRAM, catalogue.IP_PUBLIC, catalogue.IP_UNIQUE, catalogue.NODE_NAME,
    catalogue.SIMULATED_GPUS, catalogue.CONTROL_HOST_SIZE, catalogue.VALIDATOR_TLS,
)  # fmt: skip
#: Programs that say of this machine what breaks each rule over observations.
_ODD_MACHINE: Final = {
    "uname": '[ "$1" = -r ] && echo 3.10.0 || echo x86_64',
    "nproc": "echo 2",
    "df": "printf 'fs size used free\\n/dev/sda 1 1 1048576\\n'",
    "nvidia-smi": "case $1 in *driver*) echo 1.0;; *) echo '0, H100, GPU-0, 99999999';; esac",
}
_OBSERVED: Final = (
    catalogue.KUBERNETES_FIT, catalogue.GPU_RAM_COVERS_VRAM, catalogue.STORAGE_VAR_SNAP,
    catalogue.IP_EGRESS_IS_INGRESS, catalogue.CONTROL_HOST_SIZE,
)  # fmt: skip


def system_rule() -> tuple[Rule, ...]:
    """The rule over operating systems, where the machine that runs the tests breaks it."""
    system = platform.freedesktop_os_release()
    return () if f"{system['ID']} {system.get('VERSION_ID')}" == SUPPORTED_SYSTEM else (catalogue.OS_UBUNTU_2204,)


def test_declared_rules_stop_a_plain_preview_all_at_once(stack: Stack) -> None:
    nodes = [
        gpu_node("gpu-0", "10.0.0.1", ram_gib=64),
        gpu_node("localhost", "10.0.0.1", simulated_gpus=True),
    ]
    small = {**local_fleet()["control"], "cores": 2}
    stack.write(local_fleet(gpu_nodes=nodes, control=small, validators=[_PLAIN_VALIDATOR]))
    with pytest.raises(EngineError) as caught:
        stack.preview(pack=False)
    for rule in _DECLARED:
        assert f"[{rule.name}]" in str(caught.value), rule.name


def test_a_host_key_that_is_not_pinned_stops_a_plain_preview(stack: Stack) -> None:
    stack.write(local_fleet(gpu_nodes=[gpu_node("gpu-0", "127.0.1.2", ssh={"host_key": ""})]))
    with pytest.raises(EngineError, match=r"gpu_nodes\[0\]\.ssh\.host_key"):
        stack.preview(pack=False)


class _TellAddress(socketserver.StreamRequestHandler):
    """What the echo of a control host answers."""

    def handle(self) -> None:
        self.wfile.write(f"{self.client_address[0]}\n".encode())


@contextmanager
def echo(address: str) -> Iterator[None]:
    """The echo of a control host at this address."""
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    with socketserver.ThreadingTCPServer((address, HostPort.ECHO), _TellAddress) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


def fleet_on(sshd: LoopbackSshd) -> dict[str, Any]:
    """A control host and a node that are both the machine behind this server."""
    spec = sshd.spec()
    ssh = {"host": spec.host, "port": spec.port, "user": spec.user, "host_key": spec.host_key}
    values = local_fleet(gpu_nodes=[gpu_node("gpu-0", "127.0.1.2", ssh=ssh)])
    return {**values, "control": {**values["control"], "ssh": ssh}}


def test_rules_over_the_machines_stop_a_plain_preview_of_new_ones(stack: Stack, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, script in _ODD_MACHINE.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    stack.engine.quietly("config", "set", "--secret", "ssh_private_key", stdin=key_pair("client")[0])
    with LoopbackSshd(tmp_path / "sshd", programs) as sshd, echo("127.0.1.1"):
        stack.write(fleet_on(sshd))
        with pytest.raises(EngineError) as caught:
            stack.preview(pack=False)
    for rule in (*_OBSERVED, *system_rule()):
        assert f"[{rule.name}]" in str(caught.value), (rule.name, str(caught.value))


def test_no_mandatory_rule_is_left_out_of_these_previews() -> None:
    broken = {*_DECLARED, *_OBSERVED, catalogue.OS_UBUNTU_2204, catalogue.SSH_HOST_KEY}
    broken |= {rule for rules in _BROKEN_BY.values() for rule in rules}
    rest = {rule for rule in catalogue.RULES.values() if rule.level is Level.MANDATORY} - broken
    # Settings have room for one hotkey alone; what the chain says is asked by `headframe doctor --chain`.
    assert rest == {catalogue.HOTKEY_SINGLE, catalogue.UID_SINGLE}


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

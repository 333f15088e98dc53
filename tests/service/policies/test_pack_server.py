"""The pack as the engine starts it: a server that answers over gRPC."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import analyzer_pb2 as wire
from pulumi.runtime.proto import analyzer_pb2_grpc

from policies.rules.catalogue import RULES

pytestmark = pytest.mark.service

PACK = Path(__file__).parents[3] / "policies" / "pack"
NODE: dict[str, Any] = {
    "nodeName": "gpu-0",
    "role": "gpu",
    "publicIp": "9.0.0.1",
    "gpu": "h100",
    "gpuCount": 8,
    "ramGib": 64,
    "hotkeySs58": "5G",
    "hostKey": "ssh-ed25519 AAAA",
}


@pytest.fixture(scope="module")
def analyzer() -> Iterator[analyzer_pb2_grpc.AnalyzerStub]:
    command = [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:1", str(PACK)]
    with subprocess.Popen(command, cwd=PACK, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield analyzer_pb2_grpc.AnalyzerStub(channel)
        process.terminate()


def properties(values: dict[str, Any]) -> Struct:
    struct = Struct()
    struct.update(values)
    return struct


def test_the_pack_announces_every_rule(analyzer: analyzer_pb2_grpc.AnalyzerStub) -> None:
    information = analyzer.GetAnalyzerInfo(Empty(), timeout=20)
    assert set(RULES) <= {policy.name for policy in information.policies}
    assert information.name == "headframe"


def test_a_broken_machine_is_reported_with_its_figures(analyzer: analyzer_pb2_grpc.AnalyzerStub) -> None:
    request = wire.AnalyzeRequest(
        type="headframe:infra:GpuNode", name="gpu-0", urn="urn", properties=properties(NODE),
        options=wire.AnalyzerResourceOptions(),
    )  # fmt: skip
    (found,) = analyzer.Analyze(request, timeout=20).diagnostics
    assert found.policyName == "gpu-ram-covers-vram"
    assert found.enforcementLevel == wire.MANDATORY
    assert "64 GiB of RAM for 8 x h100 with 640 GiB together" in found.message


def test_two_machines_with_one_address_are_reported_once(analyzer: analyzer_pb2_grpc.AnalyzerStub) -> None:
    resources = [
        wire.AnalyzerResource(
            type="headframe:infra:GpuNode", name=name, urn=f"urn:{name}",
            properties=properties(NODE | {"nodeName": name}), options=wire.AnalyzerResourceOptions(),
        )
        for name in ("gpu-0", "gpu-1")
    ]  # fmt: skip
    answer = analyzer.AnalyzeStack(wire.AnalyzeStackRequest(resources=resources), timeout=20)
    assert [found.policyName for found in answer.diagnostics] == ["ip-unique"]

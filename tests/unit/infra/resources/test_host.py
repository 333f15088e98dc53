"""The Host resource: what the program's declaration becomes on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pytest
from google.protobuf import json_format
from pulumi.runtime.proto import resource_pb2

from infra.resources.host import TYPE, Host, HostArgs, ImageArchiveInput, RegistryLogin
from infra.spec import BinarySource, HostDeclaration, HostRole, HostSpec, K3sSpec
from tests.support.program import declare

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEVYQU1QTEUtT05MWS1OT1QtQS1SRUFMLUtFWS0h"
SIGNATURE = "4dabf18193072939515e22adb298388d"
DECLARED = HostDeclaration(
    name="gpu-0",
    host="203.0.113.7",
    host_key=KEY,
    role=HostRole.GPU,
    k3s=K3sSpec(version="v1.33.1+k3s1", source=BinarySource(url="file:///opt/k3s")),
)


def arguments() -> HostArgs:
    """Made in the loop that will run them: an Output belongs to one, and another would wait for it for ever."""
    return HostArgs(
        declared=DECLARED,
        private_key="marker-key",
        registry_logins=[RegistryLogin(registry="docker.io", username="u", password="marker-password")],
        images=[ImageArchiveInput(reference="localhost/a:1", path=pulumi.Output.from_input("/tmp/a.tar"))],
    )


def plain(value: Any) -> Any:
    """The value without secret markers."""
    if isinstance(value, dict):
        return plain(value["value"]) if SIGNATURE in value else {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def without_secrets(value: Any) -> Any:
    """The value with every secret taken out."""
    if isinstance(value, dict):
        return None if SIGNATURE in value else {key: without_secrets(item) for key, item in value.items()}
    return [without_secrets(item) for item in value] if isinstance(value, list) else value


@pytest.fixture
def request_of_host() -> resource_pb2.RegisterResourceRequest:
    """What the engine receives for one host."""

    def declaration() -> None:
        Host("gpu-0", arguments())

    return declare(declaration).one(TYPE, "gpu-0").request


def properties(request: resource_pb2.RegisterResourceRequest) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json_format.MessageToDict(request.object)
    return found


def test_what_is_registered_reads_back_as_the_same_spec(request_of_host: resource_pb2.RegisterResourceRequest) -> None:
    spec = HostSpec.model_validate(plain(properties(request_of_host)))
    assert request_of_host.type == TYPE
    assert spec.private_key.get_secret_value() == "marker-key"
    assert spec.registry_credentials[0].password.get_secret_value() == "marker-password"
    assert spec.images[0].path == "/tmp/a.tar"
    assert HostDeclaration.model_validate(spec.model_dump(include=set(HostDeclaration.model_fields))) == DECLARED


def test_no_secret_is_registered_in_plain(request_of_host: resource_pb2.RegisterResourceRequest) -> None:
    assert "marker" not in str(without_secrets(properties(request_of_host)))
    assert "kubeconfig" in request_of_host.additionalSecretOutputs

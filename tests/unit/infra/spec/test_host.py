"""HostSpec: what it accepts, what it hides, and that the wire gives back what was sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from infra.spec import BinarySource, HostDeclaration, HostRole, HostSpec, ImageArchive, K3sSpec, RegistryCredential

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEVYQU1QTEUtT05MWS1OT1QtQS1SRUFMLUtFWS0h"
K3S = K3sSpec(version="v1.33.1+k3s1", source=BinarySource(url="file:///opt/k3s"))


def spec(**changes: object) -> HostSpec:
    fields: dict[str, object] = {
        "name": "gpu-0",
        "host": "203.0.113.7",
        "host_key": KEY,
        "role": HostRole.GPU,
        "private_key": "marker-secret",
        **changes,
    }
    return HostSpec.model_validate(fields)


@given(port=st.integers(1, 65535), name=st.from_regex(r"[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True))
def test_the_wire_gives_back_the_spec(port: int, name: str) -> None:
    sent = spec(port=port, name=name, k3s=K3S)
    assert HostSpec.from_json(sent.to_json()) == sent


def test_numbers_that_arrive_as_floats_are_whole_again() -> None:
    assert spec(port=2222.0).port == 2222


def test_secrets_do_not_show_when_printed() -> None:
    credential = RegistryCredential.model_validate({"registry": "r", "username": "u", "password": "marker-secret"})
    printed = repr(spec(k3s=K3S, registry_credentials=(credential,)))
    assert "marker-secret" not in printed


def test_secrets_do_not_show_in_a_rejection() -> None:
    with pytest.raises(ValidationError) as rejection:
        spec(private_key=["marker-secret"])
    assert "marker-secret" not in str(rejection.value)


def test_names_on_the_wire_are_camel_case() -> None:
    wire = spec().model_dump(mode="json", by_alias=True)
    assert wire["onDelete"] == "stop"
    assert wire["privateKey"] == "marker-secret"
    assert not any("_" in key for key in wire)


@pytest.mark.parametrize("name", ["", "GPU-0", "gpu_0", "-gpu", "gpu-", "a" * 64, "gpu.0"])
def test_a_node_name_is_a_dns_label(name: str) -> None:
    with pytest.raises(ValidationError):
        spec(name=name)


def test_a_download_without_checksum_is_refused() -> None:
    with pytest.raises(ValidationError, match="sha256"):
        BinarySource(url="https://example.org/k3s")


def test_a_file_source_has_a_path_and_a_download_has_none() -> None:
    assert BinarySource(url="file:///opt/k3s").local_path == "/opt/k3s"
    assert BinarySource(url="https://example.org/k3s", sha256="0" * 64).local_path is None


def test_images_without_a_cluster_are_refused() -> None:
    with pytest.raises(ValidationError, match="need k3s"):
        spec(images=(ImageArchive(reference="localhost/a:1", path="/tmp/a.tar"),))


def test_the_public_address_is_the_external_one_when_given() -> None:
    assert spec().public_address == "203.0.113.7"
    outside = K3S.model_copy(update={"external_ip": "198.51.100.4"})
    assert spec(k3s=outside).public_address == "198.51.100.4"


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        spec(hostt="x")


def test_a_declaration_holds_no_secret() -> None:
    fields = set(HostDeclaration.model_fields)
    assert set(HostSpec.model_fields) - fields == {"private_key", "registry_credentials", "images", "clusters"}

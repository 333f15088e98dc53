"""Kubeconfigs are read strictly: what a foreign machine hands out must not run anything here."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from app.protocol.cluster_access import (
    KubeconfigError,
    in_cluster_access,
    open_client,
    own_access,
    parse_kubeconfig,
)


def document(user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None) -> str:
    return json.dumps(
        {
            "clusters": [{"name": "gpu-1", "cluster": {"server": "https://198.18.0.9:6443/"} | (cluster or {})}],
            "users": [{"name": "gpu-1", "user": {"token": "t0ken"} if user is None else user}],
            "contexts": [{"name": "gpu-1", "context": {"cluster": "gpu-1", "user": "gpu-1"}}],
            "current-context": "gpu-1",
        }
    )


def test_a_context_is_found_by_name_or_as_the_current_one() -> None:
    for name in (None, "gpu-1"):
        access = parse_kubeconfig(document(), name)
        assert (access.context, access.server, access.token) == ("gpu-1", "https://198.18.0.9:6443", "t0ken")
        assert "t0ken" not in repr(access)
    with pytest.raises(KubeconfigError, match="no context named 'gpu-2'"):
        parse_kubeconfig(document(), "gpu-2")


@pytest.mark.parametrize("section", ["exec", "auth-provider"])
def test_a_kubeconfig_that_wants_to_run_something_is_refused(section: str) -> None:
    with pytest.raises(KubeconfigError, match=section):
        parse_kubeconfig(document({section: {"command": "true"}}))


def test_files_are_read_only_where_the_caller_allows_it(tmp_path: Path) -> None:
    authority = tmp_path / "ca.crt"
    authority.write_bytes(b"pem")
    text = document(cluster={"certificate-authority": str(authority)})
    with pytest.raises(KubeconfigError, match="names a file"):
        parse_kubeconfig(text)
    assert parse_kubeconfig(text, allow_files=True).certificate_authority == b"pem"
    authority.unlink()
    with pytest.raises(KubeconfigError, match="cannot be read"):
        parse_kubeconfig(text, allow_files=True)


@pytest.mark.parametrize("text", ["", "[]", "{", "a: [b", document(cluster={"server": "file:///etc"})])
def test_what_is_no_kubeconfig_is_refused(text: str) -> None:
    with pytest.raises(KubeconfigError):
        parse_kubeconfig(text)


def test_data_is_base64_and_damage_is_told_without_the_value() -> None:
    good = base64.b64encode(b"pem").decode()
    assert parse_kubeconfig(document({"client-certificate-data": good})).client_certificate == b"pem"
    with pytest.raises(KubeconfigError, match="client-key-data is not base64"):
        parse_kubeconfig(document({"client-key-data": "s€cret"}))


async def test_a_pod_has_the_access_that_kubernetes_gives_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken\n")
    (tmp_path / "ca.crt").write_bytes(b"")
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    access = in_cluster_access(environment, tmp_path)
    assert (access.server, access.token) == ("https://[fd00::1]:443", "t0ken")
    async with open_client(access) as client:
        assert client.headers["Authorization"] == "Bearer t0ken"
    with pytest.raises(KubeconfigError, match="this is no pod"):
        in_cluster_access({}, tmp_path)
    with pytest.raises(KubeconfigError, match="cannot be read"):
        in_cluster_access(environment, tmp_path / "missing")


def test_a_program_takes_the_kubeconfig_that_it_was_given_before_its_pods_access(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(document())
    pod = {"KUBERNETES_SERVICE_HOST": "10.43.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    given = own_access({**pod, "KUBECONFIG": str(tmp_path / "config")})
    assert given == parse_kubeconfig(document())
    with pytest.raises(KubeconfigError, match="this is no pod"):
        own_access({})

"""Options of the provider, kubeconfigs, and what a change of them means."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from lab.engine.kubernetes.kubeconfig import KubeconfigError, access_of
from lab.engine.kubernetes.provider_config import ConfigDifference, config_difference
from lab.engine.kubernetes.session import connect
from lab.engine.kubernetes.settings import Settings, refusals
from lab.engine.kubernetes.values import Secret, Unknown


class Silence:
    async def status(self, urn: str, message: str) -> None: ...

    async def info(self, urn: str, message: str) -> None: ...

    async def warning(self, urn: str, message: str) -> None: ...


def kubeconfig(
    server: str = "https://one:6443", user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None
) -> str:
    return json.dumps(
        {
            "clusters": [{"name": "c", "cluster": {"server": server, **(cluster or {})}}, {"name": "d", "cluster": {}}],
            "users": [{"name": "u", "user": user or {"token": "t"}}],
            "contexts": [
                {"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "n"}},
                {"name": "y", "context": {"cluster": "d", "user": "u"}},
            ],
            "current-context": "x",
        }
    )


def test_access_is_read_from_text_or_file(tmp_path: Path) -> None:
    file = tmp_path / "config"
    coded = base64.b64encode(b"PEM").decode()
    file.write_text(kubeconfig(cluster={"certificate-authority-data": coded}))
    access = access_of(str(file))
    assert (access.server, access.authority, access.token, access.namespace) == ("https://one:6443", "PEM", "t", "n")
    assert repr(access) == "Access(server='https://one:6443')"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no kubeconfig", "no kubeconfig"),
        ("/does/not/exist", "cannot be read"),
        ("a: [", "cannot be read"),
        (kubeconfig(user={"exec": {"command": "aws"}}), "by a program"),
        (kubeconfig(cluster={"certificate-authority-data": "%"}), "no base64"),
        (kubeconfig(cluster={"certificate-authority": "/does/not/exist"}), "names /does/not/exist"),
        (kubeconfig(server=""), "no current context"),
    ],
)
def test_an_unusable_kubeconfig_says_why(text: str, message: str) -> None:
    with pytest.raises(KubeconfigError, match=message):
        access_of(text)


def test_another_context_or_cluster_can_be_chosen() -> None:
    assert access_of(kubeconfig(), context="y", cluster="c").server == "https://one:6443"
    with pytest.raises(KubeconfigError):
        access_of(kubeconfig(), context="y")


@pytest.mark.parametrize(
    ("olds", "news", "expected"),
    [
        ({"a": 1}, {"a": 1}, ConfigDifference()),
        (
            {"kubeconfig": kubeconfig()},
            {"kubeconfig": kubeconfig(user={"token": "new"})},
            ConfigDifference(("kubeconfig",)),
        ),
        (
            {"kubeconfig": kubeconfig()},
            {"kubeconfig": Secret(kubeconfig("https://two"))},
            ConfigDifference(("kubeconfig",), ("kubeconfig",)),
        ),
        (
            {"kubeconfig": kubeconfig(), "clusterIdentifier": "gpu-1"},
            {"kubeconfig": Unknown(), "clusterIdentifier": "gpu-1"},
            ConfigDifference(("kubeconfig",)),
        ),
        ({"kubeconfig": kubeconfig()}, {"kubeconfig": "broken"}, ConfigDifference(("kubeconfig",))),
        ({}, {"clusterIdentifier": "a"}, ConfigDifference(("clusterIdentifier",))),
    ],
)
def test_only_another_cluster_replaces(
    olds: dict[str, object], news: dict[str, object], expected: ConfigDifference
) -> None:
    assert config_difference(olds, news) == expected


def test_options_come_from_arguments_before_the_environment() -> None:
    environment = {"PULUMI_K8S_DELETE_UNREACHABLE": "true", "PULUMI_K8S_ENABLE_SECRET_MUTABLE": "true"}
    found = Settings.parse({"deleteUnreachable": False, "enableConfigMapMutable": "true"}, environment)
    assert (found.delete_unreachable, found.config_map_mutable, found.secret_mutable) == (False, True, True)
    assert Settings.parse({"kubeconfig": Secret(Unknown())}, {}).is_unknown


def test_options_that_are_not_served_are_refused() -> None:
    assert refusals({"renderYamlToDirectory": "out", "enableServerSideApply": "false"}).keys() == {
        "renderYamlToDirectory",
        "enableServerSideApply",
    }
    assert refusals({"kubeconfig": "x", "enableServerSideApply": True}) == {}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (Settings(), "give it one explicitly"),
        (Settings(is_unknown=True), "not known yet"),
        (Settings(kubeconfig="broken"), "no kubeconfig"),
        (Settings(kubeconfig=kubeconfig("https://127.0.0.1:1")), "127.0.0.1:1"),
        (Settings(kubeconfig=kubeconfig(cluster={"certificate-authority-data": "bm8="})), "unusable"),
    ],
)
async def test_a_cluster_that_cannot_be_reached_is_no_error(settings: Settings, reason: str) -> None:
    session = await connect(settings, Silence())
    assert session.api is None
    assert reason in session.unreachable

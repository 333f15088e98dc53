"""Which records of Helm are pending, and whose kubeconfigs a state holds."""

from __future__ import annotations

import json

import httpx
import pytest

from infra.cli import releases
from infra.cli.machines import kubeconfigs_of
from infra.cli.releases import PendingRelease, pending_releases

SIGNATURE = "4dabf18193072939515e22adb298388d"


def record(name: str, status: str) -> dict[str, object]:
    meta = {"name": f"sh.helm.release.v1.{name}.v1", "namespace": "gpu-operator", "resourceVersion": "7"}
    return {"metadata": {**meta, "labels": {"name": name, "status": status, "owner": "helm"}}}


def test_records_are_read_with_the_version_that_their_removal_insists_on() -> None:
    listing = {"items": [record("gpu-runtime", "pending-install")]}
    secret = "sh.helm.release.v1.gpu-runtime.v1"
    assert pending_releases(listing) == [PendingRelease("gpu-runtime", "gpu-operator", "pending-install", secret, "7")]
    assert pending_releases({"items": None}) == []


def test_kubeconfigs_come_from_machines_that_have_one() -> None:
    secret = {SIGNATURE: "1b47", "plaintext": json.dumps("apiVersion: v1")}
    resources = [
        {"type": "headframe:index:Host", "outputs": {"name": "gpu-0", "kubeconfig": secret}},
        {"type": "headframe:index:Host", "outputs": {"name": "gpu-1", "kubeconfig": ""}},
        {"type": "headframe:index:Host"},
        {"type": "kubernetes:core/v1:Secret", "outputs": {"name": "gpu-2", "kubeconfig": "x"}},
    ]
    assert kubeconfigs_of({"deployment": {"resources": resources}}) == {"gpu-0": "apiVersion: v1"}
    assert kubeconfigs_of({"deployment": None}) == {}


@pytest.mark.parametrize("answer", [b"<html>", b'{"items": [{}]}', b'{"items": 1}'])
def test_a_cluster_that_answers_strangely_hides_no_other(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    def client(name: str) -> httpx.AsyncClient:
        content = answer if name == "gpu-0" else b'{"items": []}'
        transport = httpx.MockTransport(lambda request: httpx.Response(200, content=content))
        return httpx.AsyncClient(transport=transport, base_url="https://x")

    monkeypatch.setattr(releases, "parse_kubeconfig", lambda text: text)
    monkeypatch.setattr(releases, "open_client", client)
    (said,) = releases.free_releases({"gpu-0": "gpu-0", "gpu-1": "gpu-1"})
    assert said.startswith("gpu-0: its cluster was not asked for pending Helm releases")

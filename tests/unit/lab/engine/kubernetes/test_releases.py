"""Options, command lines and records of Helm releases."""

from __future__ import annotations

import base64
import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from lab.engine.kubernetes.helm import Helm, HelmError, clean_message
from lab.engine.kubernetes.release_options import Release, ReleaseError, completed, merged_values
from lab.engine.kubernetes.release_record import ReleaseRecord
from lab.engine.kubernetes.values import Secret, Unknown


def options(**more: Any) -> dict[str, object]:
    return completed({"name": "gpu", "chart": "operator", "namespace": "gpus", **more}, "default")


def test_every_option_gets_its_default_and_what_is_none_is_dropped() -> None:
    found = options(compat="true", values={"a": Unknown()}, maxHistory=3)
    assert "compat" not in found
    assert (found["timeout"], found["atomic"], found["version"], found["maxHistory"]) == (300, False, "", 3)
    assert found["values"] == {"a": Unknown()}
    assert completed({"name": "n", "skipAwait": True}, "default")["timeout"] == 0
    assert completed({"name": "n"}, "default")["namespace"] == "default"


def test_values_files_are_merged_below_the_values(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("a: {b: 1, c: 2}\n")
    assets = [{"path": str(file)}, {"text": "a: {c: 3}"}]
    assert options(valueYamlFiles=assets, values={"a": {"b": Secret(4)}})["values"] == {"a": {"b": Secret(4), "c": 3}}
    assert merged_values({"a": 1}, {"a": {"b": 1}}) == {"a": {"b": 1}}
    with pytest.raises(ReleaseError, match="cannot be read"):
        options(valueYamlFiles=[{"path": str(tmp_path / "none")}])


def test_the_install_command_follows_the_options() -> None:
    repository = {"repo": "https://charts.example.org", "caFile": "/ca.pem"}
    found = Release(options(repositoryOpts=repository, version="1.2.3", atomic=True, createNamespace=True)).install()
    assert found[:3] == ["install", "gpu", "operator"]
    assert found[found.index("--repo") + 1] == "https://charts.example.org"
    assert found[found.index("--version") + 1] == "1.2.3"
    assert {"--atomic", "--create-namespace", "--wait", "--ca-file"} <= set(found)
    assert "--wait" not in Release(options(skipAwait=True)).install()


def test_an_upgrade_and_an_uninstall_take_their_own_options() -> None:
    release = Release(options(cleanupOnFail=True, createNamespace=True, maxHistory=3, waitForJobs=True))
    assert {"--cleanup-on-fail", "--wait-for-jobs"} <= set(release.upgrade())
    assert "--create-namespace" not in release.upgrade()
    assert release.upgrade()[-2:] == ["--history-max", "3"]
    assert release.uninstall() == ["uninstall", "gpu", "--namespace", "gpus", "--wait", "--timeout", "300s"]
    assert Release(options(devel=True)).show() == ["show", "chart", "operator", "--devel"]


def test_charts_are_found_in_named_repositories_and_registries() -> None:
    assert Release(options(repositoryOpts={"repo": "nvidia"})).chart() == ["nvidia/operator"]
    registry = options(chart="oci://r.example.org/c", repositoryOpts={"repo": "https://x"})
    assert Release(registry).chart() == ["oci://r.example.org/c"]
    with pytest.raises(ReleaseError, match="process list"):
        Release(options(repositoryOpts={"repo": "https://x", "password": "p"})).chart()


def record(version: int, status: str = "deployed") -> dict[str, Any]:
    manifest = (
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: b, namespace: n}\n"
        "---\n# nothing\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
    )
    metadata = {"name": "operator", "version": "1.0", "appVersion": "2"}
    body = {
        "name": "gpu",
        "namespace": "gpus",
        "version": version,
        "info": {"status": status},
        "chart": {"metadata": metadata},
        "config": {"x": 1},
        "manifest": manifest,
    }
    packed = base64.b64encode(gzip.compress(json.dumps(body).encode()))
    return {"data": {"release": base64.b64encode(packed).decode()}}


def test_the_newest_revision_counts() -> None:
    found = ReleaseRecord.newest({"items": [record(1, "superseded"), record(2), {"data": {"release": "%"}}]})
    assert found is not None
    assert (found.revision, found.has_failed, found.values) == (2, False, {"x": 1})
    assert found.resource_names() == {"Deployment.apps/apps/v1": ["n/b"], "ConfigMap/v1": ["a"]}
    assert found.status_properties()["appVersion"] == "2"
    assert ReleaseRecord.newest({"items": []}) is None


def test_messages_of_helm_lose_their_decoration() -> None:
    printed = "WARNING: readable\nError: UPGRADE FAILED: execution error at (x.yaml:1:2): wanted\n"
    assert clean_message(printed) == "execution error at (x.yaml:1:2): wanted"
    assert clean_message("") == "helm said nothing"


def script(folder: Path, text: str) -> dict[str, str]:
    program = folder / "helm"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return {"HEADFRAME_HELM": str(program), "PATH": "/usr/bin:/bin"}


def left_over(folder: Path) -> list[Path]:
    return list(folder.glob("helm-*"))


async def test_values_travel_in_a_private_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helm = Helm(environment=script(tmp_path, 'stat -c %a "$3"; cat "$3"; echo; echo "$@"'))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mode, content, arguments = (await helm.run(["show"], {"password": "secret"})).splitlines()
    assert mode == "600"
    assert json.loads(content) == {"password": "secret"}
    assert "secret" not in arguments
    assert left_over(tmp_path) == []


async def test_a_failing_slow_or_missing_helm_is_said(tmp_path: Path) -> None:
    with pytest.raises(HelmError, match=r"^no chart$"):
        await Helm(environment=script(tmp_path, "echo 'Error: INSTALLATION FAILED: no chart' >&2; exit 1")).run(
            ["install"]
        )
    with pytest.raises(HelmError, match="longer than"):
        await Helm(environment=script(tmp_path, "exec sleep 60")).run(["install"], timeout_seconds=-59.8)
    with pytest.raises(HelmError, match="was not found"):
        await Helm(environment={"PATH": str(tmp_path / "none")}).run(["install"])

"""The k3s deploy: files, commands, and when the service is restarted."""

from __future__ import annotations

import hashlib
import io
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import cast

import pytest
import yaml
from pyinfra.api.host import Host
from syrupy.assertion import SnapshotAssertion

from infra.hosts import disruption, paths
from infra.hosts.deploys import k3s_files as render
from infra.hosts.emitter import Emitter
from infra.hosts.failures import OperationFailedError
from infra.hosts.operations.k3s import fetch_script
from infra.hosts.operations.services import digest_of
from infra.spec import (
    BinarySource,
    HostFacts,
    ImageArchive,
    K3sSpec,
    LeaseSpec,
    Registry,
    RegistryCredential,
    Verb,
)
from tests.support.fake_host import run_fake
from tests.support.specs import host_spec, key_pair

K3S = K3sSpec(
    version="v1.33.1+k3s1",
    source=BinarySource(url="https://example.org/k3s", sha256="a" * 64),
    node_labels={"chutes/external-ip": "203.0.113.7"},
    tls_sans=("gpu-0.example.org",),
    registries=(Registry(name="docker.io", endpoints=("http://127.0.0.1:30500",), insecure=True),),
    preloaded_images=("/opt/images/base.tar",),
)
LOGIN = RegistryCredential.model_validate({"registry": "docker.io", "username": "u", "password": "marker-password"})
SPEC = host_spec(
    k3s=K3S, registry_credentials=(LOGIN,), images=(ImageArchive(reference="localhost/a:1", path="/a.tar"),)
)
CONFIG = render.config("gpu-0", K3S, "203.0.113.7", "203.0.113.7")
REGISTRIES = render.registries(K3S, (LOGIN,))
KUBECONFIG = yaml.safe_dump(
    {
        "clusters": [
            {"name": "default", "cluster": {"server": "https://127.0.0.1:6443", "certificate-authority-data": "Y2E="}}
        ],
        "users": [{"name": "default", "user": {"client-key-data": "marker-key"}}],
    }
)


def seen(text: str, mode: str = "600") -> str:
    """What a file of this content looks like on the machine."""
    content = text if text.endswith("\n") else f"{text}\n"
    return f"{hashlib.sha256(content.encode()).hexdigest()}  -\n{mode} root root"


CONVERGED = {
    "k3s --version": f"v1.33.1+k3s1\n{'a' * 64}  -",
    "readlink": "yes",
    f"sha256sum < {paths.K3S_CONFIG}": seen(CONFIG),
    f"sha256sum < {paths.K3S_REGISTRIES}": seen(REGISTRIES),
    f"sha256sum < {paths.K3S_UNIT}": seen(render.unit(), "644"),
    "stamps/k3s 2>": f"{digest_of(K3S.version, 'a' * 64, CONFIG, REGISTRIES, '')}\nactive\nenabled",
    "--raw /readyz": "yes",
    "go-template": "chutes/external-ip=203.0.113.7\nother=x",
    "images ls -q 2>/dev/null": "localhost/a:1",
    f"cat {paths.K3S_KUBECONFIG} 2>": KUBECONFIG,
}


def test_a_cluster_that_is_as_wanted_gets_no_command() -> None:
    assert run_fake(Verb.PLAN, SPEC, CONVERGED).plan.changes == ()


def test_the_kubeconfig_comes_back_with_the_public_address_and_the_nodes_name() -> None:
    result = run_fake(Verb.PLAN, SPEC, CONVERGED).events[-1]
    assert result.event == "result"
    assert result.kubeconfig is not None
    config = yaml.safe_load(result.kubeconfig.get_secret_value())
    assert config["clusters"][0]["cluster"]["server"] == "https://203.0.113.7:6443"
    assert {config["current-context"], config["contexts"][0]["name"], config["users"][0]["name"]} == {"gpu-0"}


def test_commands_on_a_bare_machine_are_these(snapshot: SnapshotAssertion) -> None:
    plain = SPEC.model_copy(update={"images": ()})
    run = run_fake(Verb.APPLY, plain)
    looks = ("; } || true", "then echo yes", "say ")
    assert [command for command in run.commands if not any(look in command for look in looks)] == snapshot


@pytest.mark.parametrize("edited", [paths.K3S_CONFIG, paths.K3S_REGISTRIES, paths.K3S_UNIT])
def test_a_file_that_somebody_edited_restarts_the_service(edited: str) -> None:
    drifted = {**CONVERGED, f"sha256sum < {edited}": seen("edited")}
    changes = run_fake(Verb.PLAN, SPEC, drifted).plan.changes
    assert changes[-1] == "k3s | service runs with these settings"
    assert len(changes) == 2


def test_a_run_that_died_before_the_restart_is_repaired() -> None:
    drifted = {**CONVERGED, "stamps/k3s 2>": "none\nactive\nenabled"}
    assert run_fake(Verb.PLAN, SPEC, drifted).plan.changes == ("k3s | service runs with these settings",)


def test_no_password_is_in_a_command() -> None:
    assert "marker-password" not in "\n".join(run_fake(Verb.APPLY, SPEC.model_copy(update={"images": ()})).commands)


def test_a_missing_archive_says_that_the_image_must_be_built() -> None:
    run = run_fake(Verb.APPLY, SPEC, {**CONVERGED, "images ls -q 2>/dev/null": ""})
    assert run.error is not None
    assert "build the image first" in run.error.message


def test_registries_are_rendered_with_their_login() -> None:
    assert yaml.safe_load(REGISTRIES) == {
        "mirrors": {"docker.io": {"endpoint": ["http://127.0.0.1:30500"]}},
        "configs": {
            "docker.io": {
                "tls": {"insecure_skip_verify": True},
                "auth": {"username": "u", "password": "marker-password"},
            }
        },
    }
    assert render.registries(K3S.model_copy(update={"registries": ()}), ()) == ""


@pytest.mark.parametrize(
    ("addresses", "route", "wanted", "expected"),
    [
        (("203.0.113.7",), "203.0.113.7", None, "203.0.113.7"),
        (("10.0.0.5",), "10.0.0.5", None, "10.0.0.5"),
        (("10.0.0.5", "203.0.113.7"), "10.0.0.5", None, "203.0.113.7"),
        (("10.0.0.5",), None, None, "10.0.0.5"),
        (("10.0.0.5",), "10.0.0.5", IPv4Address("10.0.0.9"), "10.0.0.9"),
        ((), None, None, None),
    ],
)
def test_the_node_address_is_one_of_the_machines_own(
    addresses: tuple[str, ...], route: str | None, wanted: IPv4Address | None, expected: str | None
) -> None:
    spec = K3S.model_copy(update={"node_ip": wanted})
    facts = HostFacts(addresses=addresses, route_address=route)
    assert render.node_ip(spec, "203.0.113.7", facts) == expected


def test_an_address_behind_nat_is_not_advertised() -> None:
    config = yaml.safe_load(render.config("gpu-0", K3S, "203.0.113.7", "10.0.0.5"))
    assert "advertise-address" not in config
    assert config["node-external-ip"] == "203.0.113.7"
    assert config["write-kubeconfig-mode"] == "0600"
    assert config["tls-san"] == ["203.0.113.7", "gpu-0.example.org"]


def test_leaving_stops_the_service_and_removes_secrets(snapshot: SnapshotAssertion) -> None:
    run = run_fake(Verb.WIPE, SPEC, {"is-active": "active\nenabled", "then echo yes": "yes"})
    assert run.error is None
    looks = ("; } || true", "then echo yes", "say ")
    assert [command for command in run.commands if not any(look in command for look in looks)] == snapshot


def test_a_machine_that_has_left_gets_no_command() -> None:
    gone = {"is-active": "inactive\nnone", "then echo yes": "no"}
    assert run_fake(Verb.WIPE, SPEC, gone).plan.changes == ()


def test_a_cluster_does_not_start_without_the_disk_that_its_data_is_on() -> None:
    unit = render.unit(["/var/snap", "/var/lib/rancher"])
    head, _, service = unit.partition("[Service]")
    assert head.endswith("RequiresMountsFor=/var/snap\nRequiresMountsFor=/var/lib/rancher\n\n")
    assert "ExecStart=" in service
    assert "@" not in unit
    assert render.unit().partition("[Service]")[0].endswith("After=network-online.target\n\n")


@pytest.fixture
def programs(tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Runs a script that speaks of /usr/local/bin in a folder of the test; k3s v1.0.1 is there, v1.0.2 lies beside."""

    def k3s(version: str) -> str:
        return f'#!/bin/sh\necho "k3s version {version} (x)"\n'

    for name, version in (("k3s", "v1.0.1"), ("source", "v1.0.2")):
        (tmp_path / name).write_text(k3s(version))
        (tmp_path / name).chmod(0o755)

    def run_script(script: str) -> subprocess.CompletedProcess[str]:
        text = script.replace("/usr/local/bin", str(tmp_path)).replace("/opt/source", str(tmp_path / "source"))
        return subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=False, timeout=30)

    return run_script


NEXT = BinarySource(url="file:///opt/source")


def installing() -> str:
    wanted = K3sSpec(version="v1.0.2", source=NEXT)
    return next(
        line for line in run_fake(Verb.APPLY, host_spec(k3s=wanted)).commands if "mktemp /usr/local/bin" in line
    )


def test_what_was_fetched_before_takes_the_place_of_the_old_one(
    programs: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    assert programs(fetch_script(NEXT, "v1.0.2")).returncode == 0
    assert "v1.0.1" in (tmp_path / "k3s").read_text(), "the one that runs is not touched"
    (tmp_path / "source").unlink()
    assert programs(installing()).returncode == 0
    assert "v1.0.2" in (tmp_path / "k3s").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"k3s", "kubectl", "crictl"}


def test_another_version_that_was_fetched_before_is_left_aside(
    programs: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "k3s.fetched").write_text((tmp_path / "k3s").read_text())
    assert programs(installing()).returncode == 0
    assert "v1.0.2" in (tmp_path / "k3s").read_text()


def test_what_is_not_the_wanted_version_is_told_and_leaves_nothing(
    programs: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = programs(fetch_script(NEXT, "v1.0.3"))
    assert (done.returncode, "is k3s v1.0.2, wanted v1.0.3" in done.stderr) == (1, True)
    assert {path.name for path in tmp_path.iterdir()} == {"k3s", "source"}


def test_a_binary_that_cannot_be_had_disrupts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def run(host: object, script: str, operation: str) -> str:
        done.append(operation)
        if operation == "k3s | binary":
            raise OperationFailedError("k3s | binary: no such file", operation=operation)
        return ""

    @contextmanager
    def keeper(spec: object) -> Iterator[Callable[[str], str]]:
        done.append("lease")
        yield lambda command: "taken"

    monkeypatch.setattr(disruption, "run", run)
    monkeypatch.setattr(disruption, "keeper", keeper)
    spec = host_spec(
        k3s=K3sSpec(version="v1.0.2", source=NEXT), lease=LeaseSpec(host="203.0.113.9", host_key=key_pair()[1])
    )
    facts = HostFacts(k3s_version="v1.0.1")
    changes = ("k3s | binary v1.0.2", "k3s | service runs with these settings")
    emitter = Emitter(io.StringIO())
    with (
        pytest.raises(OperationFailedError, match="no such file"),
        disruption.guarded(spec, facts, cast("Host", None), changes, emitter),
    ):
        raise AssertionError
    assert done == ["k3s | binary"]
    done.clear()
    with disruption.guarded(spec, facts, cast("Host", None), changes[1:], emitter):
        done.append("disrupts")
    assert done == ["lease", "drain", "disrupts", "return"]

"""docs/coming-from-ansible.md names everything of the public miner, and of ours only what there is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from infra.cli.app import app
from infra.settings.schema import SCHEMA_FILE

ROOT: Final = Path(__file__).parents[4]
TEXT: Final = (ROOT / "docs" / "coming-from-ansible.md").read_text(encoding="utf-8")
SCHEMA: Final[dict[str, Any]] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
#: Names of the public miner (spec: infra 2, 3.3, 5, 11).
PUBLIC: Final = {
    "playbooks": """site.yml deploy-charts.yml restart-k8s.yml reboot.yml reset.yml upgrade-k3s.yml upgrade-nvidia.yml
        migrate.yml""",
    "tags": """add-nodes common k3s gpu chutes-miner chutes-gpu always monitoring-charts miner-charts miner-gpu-charts
        restart-control restart-gpu""",
    "keys": """control workers tee_workers microk8s ansible_host external_ip ansible_user ansible_port
        ansible_ssh_private_key_file ansible_ssh_common_args ssh_keys user hotkey_path chart_values grafana_password
        federation_port is_primary timezone swap_disable system_packages k3s_api_port cluster_cidr service_cidr
        k3s_version ubuntu_major ubuntu_minor cuda_version nvidia_version skip_cuda infiniband ipv6_enabled
        k3s_kubeconfig_path monitoring_namespace helm_version validator kubectl_version registry_port registry_protocol
        use_registry_auth registry_username registry_password k3s_server_location systemd_dir k3s_extra_server_args
        k3s_server_config_yaml extra_manifests extra_service_envs token miner_charts_version miner_gpu_charts_version
        monitoring_charts_version batch_size registries_config_yaml""",
    "make": """help list-packages venv build images tag push sign-images sign-charts infrastructure clean
        sync-pyproject-versions update-chutes-common lint lint-local reformat test test-local ci""",
}


def left_and_right() -> Iterator[tuple[str, str]]:
    """The cells of every row."""
    for line in TEXT.splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            left, right = line.strip("| ").split(" | ", 1)
            yield left, right


@pytest.mark.parametrize("kind", PUBLIC)
def test_every_name_of_the_public_miner_is_mapped(kind: str) -> None:
    named = {name for left, _ in left_and_right() for name in re.findall(r"`([^`]+)`", left)}
    assert set(PUBLIC[kind].split()) - named == set()


def test_every_command_that_is_named_exists() -> None:
    commands = set(re.findall(r"`headframe ([a-z-]+(?: [a-z0-9]+)?)", TEXT))
    assert commands
    for command in commands:
        words = command.split()
        assert words[0] in app.resolved_commands(), command
        if len(words) > 1:
            assert words[1] in app[words[0]].resolved_commands(), command


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)`", TEXT)) <= targets


def test_every_setting_that_is_named_exists() -> None:
    keys = {name.removeprefix("headframe:") for name in SCHEMA["properties"]["config"]["properties"]}
    named = {
        text.split(":")[0]
        for _, right in left_and_right()
        for text in re.findall(r"`([a-z_]+(?:\[\])?(?:\.[a-z_]+)*(?:: [a-z]+)?)`", right)
        if text.split(".")[0].split("[")[0].split(":")[0] in keys
    }
    assert len(named) > 20
    for path in named:
        head, *rest = path.replace("[]", "").split(".")
        assert _leads(SCHEMA["properties"]["config"]["properties"][f"headframe:{head}"], rest), path


def _leads(field: dict[str, Any], rest: list[str]) -> bool:
    """Whether a path goes on through a field, by any of its alternatives."""
    if not rest:
        return True
    options = [field, field.get("items", {}), *field.get("anyOf", ()), *field.get("oneOf", ())]
    options += [one for option in options for one in (*option.get("anyOf", ()), *option.get("oneOf", ()))]
    for option in options:
        group = SCHEMA["$defs"][option["$ref"].rsplit("/", 1)[-1]] if "$ref" in option else option
        found = group.get("properties", {}).get(rest[0])
        if found is not None and _leads(found, rest[1:]):
            return True
    return False

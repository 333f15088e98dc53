"""Settings for tests: a small valid fleet, changed by dotted paths. Keys and addresses are throw-away values."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from app.protocol.signing import Signer
from infra.settings import FleetConfig, load
from infra.settings.source import MappingSource

CLONE: Final = Path(__file__).parents[2]
HOST_KEY: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEVYQU1QTEUtT05MWS1OT1QtQS1SRUFMLUtFWS0h"
#: Made from a sentence, so that no key lies in the repository.
HOTKEY_SEED: Final = hashlib.sha256(b"the hotkey of Headframe's tests").hexdigest()
HOTKEY: Final = Signer.from_seed(HOTKEY_SEED).ss58
PRIVATE_KEY: Final = "marker-ssh-private-key"
#: Content of the packaged chart that the fleet names; its bytes are never unpacked by the program.
CHART: Final = b"a packaged chart"
CHART_DIGEST: Final = hashlib.sha256(CHART).hexdigest()
SECRETS: Final = {"ssh_private_key": PRIVATE_KEY, "hotkey_seed": HOTKEY_SEED}


def gpu_node(name: str, address: str, **changes: object) -> dict[str, object]:
    """One bare GPU node as a stack file writes it."""
    node: dict[str, object] = {
        "name": name,
        "address": address,
        "gpu": "h100_sxm",
        "gpu_count": 8,
        "ram_gib": 1024,
        "hourly_cost_usd": 16.8,
        "ssh": {"host_key": HOST_KEY},
    }
    return node | changes


def fleet(**changes: object) -> dict[str, Any]:
    """A control host and two GPU nodes with public addresses; `changes` replace top-level keys."""
    values: dict[str, Any] = {
        "control": {
            "name": "control",
            "address": "9.0.0.10",
            "cores": 8,
            "ram_gib": 64,
            "ssh": {"host_key": HOST_KEY},
        },
        "gpu_nodes": [gpu_node("gpu-0", "9.0.0.11"), gpu_node("gpu-1", "9.0.0.12")],
        "miner": {"hotkey_ss58": HOTKEY},
        "kubernetes": {"version": "v1.33.4+k3s1", "source": "file:///opt/k3s"},
        "gpu_runtime": {
            "chart": "gpu-operator",
            "repository": "https://charts.example.net",
            "version": "1.2.3",
            "digest": CHART_DIGEST,
        },
    }
    return copy.deepcopy(values) | changes


def config(**changes: object) -> FleetConfig:
    """The loaded settings of `fleet(...)`."""
    return load(MappingSource(fleet(**changes), SECRETS))


def stack_file(name: str) -> dict[str, Any]:
    """Settings of a stack file of this repository, without the project's prefix."""
    text = (CLONE / "stacks" / f"Pulumi.{name}.yaml").read_text()
    loaded = YAML(typ="safe").load(text)["config"]
    return {key.removeprefix("headframe:"): value for key, value in loaded.items() if key.startswith("headframe:")}


def lab_fleet() -> dict[str, Any]:
    """The lab's stack file with what `make up` adds to its copy."""
    values = stack_file("lab")
    for machine in [values["control"], *values["gpu_nodes"]]:
        machine["ssh"]["host_key"] = HOST_KEY
    values["miner"]["hotkey_ss58"] = HOTKEY
    values["kubernetes"] |= {"version": "v1.34.2-lab", "source": "file:///opt/lab-kubernetes/k3s"}
    return values

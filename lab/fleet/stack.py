"""The lab's stack file: the committed one, completed with what exists only once the machines do. Pure.

The clone stays clean: the completed copy lies in the state folder and holds its secrets encrypted.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lab.hosts.models import LabHost

PROJECT: Final = "headframe"
STACK: Final = "lab"
SSH_PRIVATE_KEY: Final = f"{PROJECT}:ssh_private_key"
HOTKEY_SEED: Final = f"{PROJECT}:hotkey_seed"
_CONTROL: Final = f"{PROJECT}:control"
_GPU_NODES: Final = f"{PROJECT}:gpu_nodes"
_MIB_PER_GIB: Final = 1024
#: Keys of a stack file that the engine writes and needs again.
_ENGINES_OWN: Final = ("encryptionsalt", "secretsprovider", "encryptedkey")

#: What YAML holds: maps, lists and plain values.
StackFile = dict[str, Any]


@dataclass(frozen=True)
class Generated:
    """What this machine adds to the committed stack file.

    Args:
        host_keys: host name -> public SSH host key.
        kubernetes_version: what `k3s --version` says.
        kubernetes_source: address of the binary as the hosts see it.
        hotkey_ss58: address of the lab's throw-away hotkey.
        market: keys of the stack that name the simulated validator and chain.
    """

    host_keys: Mapping[str, str]
    kubernetes_version: str
    kubernetes_source: str
    hotkey_ss58: str
    market: Mapping[str, Any] = field(default_factory=dict)


def lab_hosts(committed: StackFile) -> tuple[LabHost, ...]:
    """One lab host for each machine of ours in the stack file: the control host first, then the GPU nodes."""
    return tuple(
        LabHost(
            name=node["name"],
            address=node["address"],
            cpus=float(node.get("cores", LabHost.cpus)),
            memory_mib=int(node["ram_gib"] * _MIB_PER_GIB),
        )
        for node in _machines(committed)
    )


def completed(committed: StackFile, generated: Generated, before: StackFile) -> StackFile:
    """The stack file that the engine is given.

    Args:
        committed: content of `stacks/Pulumi.lab.yaml`.
        generated: what this machine adds.
        before: the completed file as the engine left it, {} where there is none; its encrypted values stay.
    """
    result = copy.deepcopy(committed)
    config = result["config"]
    for node in _machines(result):
        node.setdefault("ssh", {})["host_key"] = generated.host_keys[node["name"]]
    kubernetes = config.setdefault(f"{PROJECT}:kubernetes", {})
    kubernetes |= {"version": generated.kubernetes_version, "source": generated.kubernetes_source}
    config.setdefault(f"{PROJECT}:miner", {})["hotkey_ss58"] = generated.hotkey_ss58
    for key, value in generated.market.items():
        full = f"{PROJECT}:{key}"
        config[full] = {**config.get(full, {}), **value} if isinstance(value, Mapping) else value
    for key, value in before.get("config", {}).items():
        if isinstance(value, Mapping) and "secure" in value:
            config.setdefault(key, dict(value))
    return result | {key: before[key] for key in _ENGINES_OWN if key in before}


def _machines(file: StackFile) -> list[dict[str, Any]]:
    config = file["config"]
    gpu_nodes = [node for node in config.get(_GPU_NODES, []) if node.get("kind", "bare") == "bare"]
    return [config[_CONTROL], *gpu_nodes]

"""Pods of our own programs, hardened by default: a component gives facts, this gives the specification. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pulumi import Input
from pulumi_kubernetes.core.v1 import (
    CapabilitiesArgsDict,
    ContainerArgsDict,
    EnvVarArgsDict,
    PodSpecArgsDict,
    PodTemplateSpecArgsDict,
    ProbeArgsDict,
    VolumeArgsDict,
    VolumeMountArgsDict,
)

from infra.images.recipe import USER_ID

NAME_LABEL: Final = "app.kubernetes.io/name"
#: A change restarts the pods: what they read once at start and no other field of theirs shows.
CONFIG_ANNOTATION: Final = "headframe/config"
_PROBE_SECONDS: Final = 5
#: What may be changed in a file tree of other owners: the model cache is written by pods of several users.
_FILE_CAPABILITIES: Final = ["DAC_OVERRIDE", "FOWNER"]


@dataclass(frozen=True, kw_only=True)
class SecretKey:
    """One value of a Secret."""

    secret: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A volume, and where the container sees it."""

    path: str
    volume: VolumeArgsDict
    read_only: bool = True

    @property
    def name(self) -> str:
        """Name of the volume in its pod."""
        return str(self.volume["name"])


@dataclass(frozen=True, kw_only=True)
class Health:
    """HTTP paths of a program's probes, and how long its start may take."""

    live: str
    ready: str
    start_seconds: int = 120


@dataclass(frozen=True, kw_only=True)
class Program:
    """One container: an image, what it is told, what it may use. CPU in thousandths of a core."""

    name: str
    image: str
    pull_policy: str
    memory_mib: int
    cpu_milli: int = 50
    #: Empty: the image's own.
    command: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, Input[str]] = field(default_factory=dict)
    secrets: Mapping[str, SecretKey] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    #: Folders that it may write besides its volumes.
    scratch: tuple[str, ...] = ("/tmp",)  # noqa: S108 in the container
    port: int | None = None
    health: Health | None = None
    #: Root without capabilities but those over files: for the cache, whose files have several owners.
    owns_all_files: bool = False


@dataclass(frozen=True, kw_only=True)
class Pod:
    """Programs that run together: `first` end before `main` starts."""

    main: Program
    first: tuple[Program, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    service_account: str
    #: Whether it speaks to its cluster's API.
    uses_cluster: bool = False
    restart_policy: str = "Always"
    grace_seconds: int = 30
    #: Plain facts whose change restarts the pods.
    config: Mapping[str, str] = field(default_factory=dict)
    #: Value of the name label where it is not the program's name: others look for these pods by it.
    found_as: str | None = None
    #: The machine's own network, for what measures it.
    host_network: bool = False

    @property
    def app(self) -> str:
        """Value of the name label."""
        return self.found_as or self.main.name


def template(pod: Pod) -> PodTemplateSpecArgsDict:
    """The pod template of a Deployment or a Job."""
    found: PodTemplateSpecArgsDict = {
        "metadata": {"labels": {NAME_LABEL: pod.app, **pod.labels}},
        "spec": _specification(pod),
    }
    if pod.config:
        found["metadata"] = {
            "labels": {NAME_LABEL: pod.app, **pod.labels},
            "annotations": {CONFIG_ANNOTATION: config_hash(pod.config)},
        }
    return found


def config_hash(config: Mapping[str, str]) -> str:
    """The first 16 characters of a hash over the facts, in any order."""
    return hashlib.sha256(json.dumps(dict(config), sort_keys=True).encode()).hexdigest()[:16]


def _specification(pod: Pod) -> PodSpecArgsDict:
    programs = (*pod.first, pod.main)
    as_root = any(program.owns_all_files for program in programs)
    found: PodSpecArgsDict = {
        "service_account_name": pod.service_account,
        "automount_service_account_token": pod.uses_cluster,
        "enable_service_links": False,
        "termination_grace_period_seconds": pod.grace_seconds,
        "security_context": {"seccomp_profile": {"type": "RuntimeDefault"}, "run_as_user": 0}
        if as_root
        else {
            "run_as_non_root": True,
            "run_as_user": USER_ID,
            "run_as_group": USER_ID,
            "fs_group": USER_ID,
            "fs_group_change_policy": "OnRootMismatch",
            "seccomp_profile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(pod.main)],
        "volumes": _volumes(programs),
    }
    if pod.first:
        found["init_containers"] = [_container(program) for program in pod.first]
    if pod.restart_policy != "Always":
        found["restart_policy"] = pod.restart_policy
    if pod.host_network:
        found["host_network"] = True
    return found


def _volumes(programs: tuple[Program, ...]) -> list[VolumeArgsDict]:
    named: dict[str, VolumeArgsDict] = {}
    for program in programs:
        for mount in program.mounts:
            named[mount.name] = mount.volume
        for path in program.scratch:
            named[_scratch(path)] = {"name": _scratch(path), "empty_dir": {}}
    return list(named.values())


def _scratch(path: str) -> str:
    return f"scratch{path.replace('/', '-')}"


def _container(program: Program) -> ContainerArgsDict:
    capabilities: CapabilitiesArgsDict = {"drop": ["ALL"]}
    if program.owns_all_files:
        capabilities = {"add": _FILE_CAPABILITIES, "drop": ["ALL"]}
    found: ContainerArgsDict = {
        "name": program.name,
        "image": program.image,
        "image_pull_policy": program.pull_policy,
        "env": _environment(program),
        "resources": {
            "requests": {"cpu": f"{program.cpu_milli}m", "memory": f"{program.memory_mib // 2}Mi"},
            "limits": {"memory": f"{program.memory_mib}Mi"},
        },
        "security_context": {
            "allow_privilege_escalation": False,
            "capabilities": capabilities,
            "read_only_root_filesystem": True,
        },
        "volume_mounts": _mounts(program),
    }
    if program.command:
        found["command"] = list(program.command)
    if program.arguments:
        found["args"] = list(program.arguments)
    if program.port is not None:
        found["ports"] = [{"name": "http", "container_port": program.port}]
    if program.health is not None:
        found["startup_probe"] = _probe(program, program.health.live, 2, program.health.start_seconds // 2)
        found["liveness_probe"] = _probe(program, program.health.live, 20, 3)
        found["readiness_probe"] = _probe(program, program.health.ready, 5, 2)
    return found


def _environment(program: Program) -> list[EnvVarArgsDict]:
    plain: list[EnvVarArgsDict] = [{"name": name, "value": value} for name, value in program.environment.items()]
    secret: list[EnvVarArgsDict] = [
        {"name": name, "value_from": {"secret_key_ref": {"name": item.secret, "key": item.key}}}
        for name, item in program.secrets.items()
    ]
    return sorted(plain + secret, key=lambda item: str(item["name"]))


def _mounts(program: Program) -> list[VolumeMountArgsDict]:
    found: list[VolumeMountArgsDict] = []
    for mount in program.mounts:
        entry: VolumeMountArgsDict = {"name": mount.name, "mount_path": mount.path}
        # The server drops a false here, and a plan would add it for ever.
        found.append({**entry, "read_only": True} if mount.read_only else entry)
    return found + [{"name": _scratch(path), "mount_path": path} for path in program.scratch]


def _probe(program: Program, path: str, period_seconds: int, failures: int) -> ProbeArgsDict:
    return {
        "http_get": {"path": path, "port": program.port or 0},
        "period_seconds": period_seconds,
        "timeout_seconds": _PROBE_SECONDS,
        "failure_threshold": failures,
    }

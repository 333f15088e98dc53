"""What one deployment is to be: inputs and names of its Kubernetes objects (spec: gepetto 3, 17). Data only."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from app.protocol import labels
from app.protocol.model_cache import DEFAULT_LIMITS, CacheLimits, CacheOverride
from app.protocol.ports import NodePort
from app.protocol.wire import version_tuple

JsonObject = dict[str, object]

#: From these runtime versions on: code comes at verification, attestation port.
CODE_AT_VERIFICATION: Final = (0, 3, 61)
ATTESTATION: Final = (0, 6, 0)


class PullPolicy(StrEnum):
    """When a node pulls an image; the network's own programs always do, a lab without a registry does not."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"


@dataclass(frozen=True)
class PodSettings:
    """What is the same for every deployment of a fleet (spec: gepetto 3)."""

    miner_ss58: str
    namespace: str = labels.CHUTES_NAMESPACE
    runtime_class: str = "nvidia"
    registry_proxy_port: int = NodePort.REGISTRY_PROXY
    mtls_registry_min_version: str = "1.4.0"
    shutdown_seconds: int = 180
    cache_limits: CacheLimits = DEFAULT_LIMITS
    cache_overrides: Mapping[str, CacheOverride | int] = field(default_factory=dict)
    cache_cleaner_image: str = "parachutes/cache-cleaner:latest"
    cache_cleaner_pull_policy: PullPolicy = PullPolicy.ALWAYS
    chute_pull_policy: PullPolicy = PullPolicy.ALWAYS


@dataclass(frozen=True)
class JobPort:
    """A port that a job opens; `protocol` is TCP or UDP."""

    protocol: str
    port: int

    @classmethod
    def declared(cls, proto: str, port: int) -> JobPort:
        """From a chute's declaration: tcp and http are TCP, everything else is UDP."""
        return cls("TCP" if proto.lower() in {"tcp", "http"} else "UDP", port)


@dataclass(frozen=True)
class DeploymentPlan:
    """One deployment to be. Memory is in GiB, disk in GiB; `token` is a secret and shows in no repr.

    `neighbours` are the other chutes with a deployment on the server, whatever its state: their models are in use.
    """

    deployment_id: str
    chute_id: str
    version: str
    image: str
    ref_str: str
    chutes_version: str | None
    tee: bool
    validator: str
    server_name: str
    server_address: str
    gpu_ids: tuple[str, ...]
    cpu_per_gpu: int
    memory_per_gpu: int
    disk_gb: int = 10
    vm_version: tuple[int, int, int] | None = None
    token: str | None = field(default=None, repr=False)
    config_id: str | None = None
    job_id: str | None = None
    job_ports: tuple[JobPort, ...] = ()
    filename: str = ""
    code: str = field(default="", repr=False)
    seed: int | None = None
    neighbours: tuple[str, ...] = ()

    @property
    def runtime(self) -> tuple[int, int, int]:
        """Version of the chutes runtime inside the image."""
        return version_tuple(self.chutes_version or self.version)

    @property
    def has_attestation_port(self) -> bool:
        return self.tee and self.runtime >= ATTESTATION

    @property
    def needs_code(self) -> bool:
        """Whether the pod reads its code from a ConfigMap."""
        return not self.tee and self.runtime < CODE_AT_VERIFICATION


def job_name(deployment_id: str) -> str:
    return f"chute-{deployment_id}"


def service_name(deployment_id: str) -> str:
    return f"chute-service-{deployment_id}"


def code_name(chute_id: str, version: str) -> str:
    """Name of the ConfigMap with a chute's code at one version."""
    return f"chute-code-{uuid.uuid5(uuid.NAMESPACE_OID, f'{chute_id}::{version}')}"

"""Kubernetes objects of one deployment, field by field as validators and workers check them (spec: gepetto 17, 18)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from app.protocol import labels
from app.protocol.model_cache import DEFAULT_LIMITS, CacheLimits, CacheOverride, limits_of
from app.protocol.ports import ChutePort, NodePort
from app.protocol.registry_proxy import proxied_image
from app.protocol.wire import driver_gpu_id, version_tuple

JsonObject = dict[str, object]

DIRECT_REGISTRY: Final = "registry.chutes.ai"
CODE_LABEL: Final = "chutes/code"
SHARED_MEMORY: Final = "16Gi"
#: From these runtime versions on: probe on the logging port, code comes at verification, attestation port.
PROBE_ON_LOGGING: Final = (0, 3, 3)
CODE_AT_VERIFICATION: Final = (0, 3, 61)
ATTESTATION: Final = (0, 6, 0)
#: From this virtual machine on: parallel downloads by xet.
XET_MACHINE: Final = (1, 3, 1)

_FIXED_ENVIRONMENT: Final = {
    "NCCL_P2P_DISABLE": "1",
    "NCCL_IB_DISABLE": "1",
    "NCCL_SHM_DISABLE": "0",
    "NCCL_NET_GDR_LEVEL": "0",
    "NCCL_DEBUG": "INFO",
    "NCCL_SOCKET_IFNAME": "lo",
    "NCCL_SOCKET_FAMILY": "AF_INET",
    "CHUTES_EXECUTION_CONTEXT": "REMOTE",
    "VLLM_DISABLE_TELEMETRY": "1",
    "HF_HOME": "/cache",
    "CIVITAI_HOME": "/cache/civitai",
}


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
    """One deployment to be. Memory is in GiB, disk in GiB; `token` is a secret and shows in no repr."""

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


def _labels(plan: DeploymentPlan) -> dict[str, str]:
    return {
        labels.DEPLOYMENT_ID: plan.deployment_id,
        labels.CHUTE: "true",
        labels.CHUTE_ID: plan.chute_id,
        labels.VERSION: plan.version,
    }


def _job_labels(plan: DeploymentPlan) -> dict[str, str]:
    found = _labels(plan)
    if plan.config_id:
        found[labels.CONFIG_ID] = plan.config_id
    if plan.job_id:
        found |= {labels.JOB_ID: plan.job_id, labels.JOB: "true"}
    return found


def _ports(plan: DeploymentPlan) -> list[JobPort]:
    """Every port of the pod in order: fixed ones, attestation, then the job's, each protocol and number once."""
    fixed = [JobPort("TCP", ChutePort.PRIMARY), JobPort("TCP", ChutePort.LOGGING)]
    if plan.has_attestation_port:
        fixed.append(JobPort("TCP", ChutePort.ATTESTATION))
    taken = set(fixed) | {JobPort("TCP", ChutePort.ATTESTATION)}
    extra = [port for port in dict.fromkeys(plan.job_ports) if port not in taken]
    return fixed + extra


def service(plan: DeploymentPlan, settings: PodSettings) -> JsonObject:
    """The NodePort Service; the cluster chooses the node ports."""
    ports = _ports(plan)
    numbers = [port.port for port in ports]

    def name(port: JobPort) -> str:
        # One number with two protocols would give two ports of one name, which Kubernetes refuses.
        suffix = f"-{port.protocol.lower()}" if numbers.count(port.port) > 1 else ""
        return f"chute-{port.port}{suffix}"

    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": service_name(plan.deployment_id),
            "namespace": settings.namespace,
            "labels": _labels(plan),
        },
        "spec": {
            "type": "NodePort",
            "externalTrafficPolicy": "Local",
            "selector": {labels.DEPLOYMENT_ID: plan.deployment_id},
            "ports": [
                {"name": name(port), "port": int(port.port), "targetPort": int(port.port), "protocol": port.protocol}
                for port in ports
            ],
        },
    }


def code_config_map(plan: DeploymentPlan, settings: PodSettings) -> JsonObject:
    """The chute's code, for the few runtimes that read it from a file."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": code_name(plan.chute_id, plan.version),
            "namespace": settings.namespace,
            "labels": {labels.CHUTE_ID: plan.chute_id, labels.VERSION: plan.version, CODE_LABEL: "true"},
        },
        "data": {plan.filename: plan.code},
    }


def image_reference(plan: DeploymentPlan, settings: PodSettings) -> str:
    """Where the node pulls the image from: the registry itself on new virtual machines, else the proxy on the node."""
    minimum = settings.mtls_registry_min_version
    if minimum and plan.vm_version is not None and plan.vm_version >= version_tuple(minimum):
        return f"{DIRECT_REGISTRY}/{plan.image}"
    return proxied_image(plan.validator, plan.image, settings.registry_proxy_port)


def command(plan: DeploymentPlan, settings: PodSettings) -> list[str]:
    """The command line; the validator compares it exactly."""
    line = ["chutes", "run", plan.ref_str, "--port", str(int(ChutePort.PRIMARY))]
    if plan.token is None:
        line += ["--graval-seed", str(plan.seed)]
    return [*line, "--miner-ss58", settings.miner_ss58, "--validator-ss58", plan.validator]


def environment(plan: DeploymentPlan, node_ports: Mapping[tuple[str, int], int]) -> dict[str, str]:
    """Environment of the chute: exactly this, because the validator refuses names that it does not expect."""
    devices = ",".join(driver_gpu_id(gpu) for gpu in plan.gpu_ids)
    found = {"NVIDIA_VISIBLE_DEVICES": devices, "CHUTES_NVIDIA_DEVICES": devices, **_FIXED_ENVIRONMENT}
    fixed = {ChutePort.PRIMARY: "PRIMARY", ChutePort.LOGGING: "LOGGING", ChutePort.ATTESTATION: "ATTESTATION"}
    for index, port in enumerate(_ports(plan)):
        is_fixed = index < 2 + plan.has_attestation_port
        name = fixed[ChutePort(port.port)] if is_fixed else f"{port.protocol}_{port.port}"
        found[f"CHUTES_PORT_{name}"] = str(node_ports[port.protocol, int(port.port)])
    if plan.token is not None:
        found |= {"CHUTES_LAUNCH_JWT": plan.token, "CHUTES_EXTERNAL_HOST": plan.server_address}
    if plan.tee and plan.vm_version is not None and plan.vm_version >= XET_MACHINE:
        found |= {"HF_XET_FIXED_DOWNLOAD_CONCURRENCY": "16", "TOKIO_WORKER_THREADS": "8"}
    elif plan.tee:
        found |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_ENABLE_HF_TRANSFER": "1"}
    return found


def _variables(values: Mapping[str, str]) -> list[JsonObject]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _cache_container(plan: DeploymentPlan, settings: PodSettings) -> JsonObject:
    limits = limits_of(plan.server_name, settings.cache_limits, settings.cache_overrides)
    return {
        "name": "cache-init",
        "image": settings.cache_cleaner_image,
        "imagePullPolicy": settings.cache_cleaner_pull_policy.value,
        "securityContext": {"runAsUser": 0, "runAsGroup": 0},
        "volumeMounts": [{"name": "raw-cache", "mountPath": "/cache"}],
        "env": _variables(
            {
                "CLEANUP_EXCLUDE": plan.chute_id,
                "HF_HOME": "/cache",
                "CIVITAI_HOME": "/cache/civitai",
                "CACHE_MAX_AGE_DAYS": str(limits.max_age_days),
                "CACHE_MAX_SIZE_GB": str(limits.max_size_gb),
                "NVIDIA_VISIBLE_DEVICES": ",".join(driver_gpu_id(gpu) for gpu in plan.gpu_ids),
            }
        ),
    }


def _chute_container(
    plan: DeploymentPlan, settings: PodSettings, node_ports: Mapping[tuple[str, int], int]
) -> JsonObject:
    gpus = len(plan.gpu_ids)
    resources = {
        "cpu": str(plan.cpu_per_gpu * gpus),
        "memory": f"{plan.memory_per_gpu * gpus}Gi",
        "ephemeral-storage": f"{plan.disk_gb}Gi",
    }
    probe_port = ChutePort.LOGGING if version_tuple(plan.chutes_version) >= PROBE_ON_LOGGING else ChutePort.PRIMARY
    mounts: list[JsonObject] = [
        {"name": "cache", "mountPath": "/cache"},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a path inside the pod
        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 - a path inside the pod
    ]
    if plan.needs_code:
        mounts.append({"name": "code", "mountPath": f"/app/{plan.filename}", "subPath": plan.filename})
    return {
        "name": "chute",
        "image": image_reference(plan, settings),
        "imagePullPolicy": settings.chute_pull_policy.value,
        "command": command(plan, settings),
        "env": _variables(environment(plan, node_ports)),
        "ports": [{"containerPort": int(port.port), "protocol": port.protocol} for port in _ports(plan)],
        "resources": {"requests": resources, "limits": dict(resources)},
        "securityContext": {"capabilities": {"add": ["IPC_LOCK"]}},
        "volumeMounts": mounts,
        "readinessProbe": {
            "exec": {"command": ["/bin/sh", "-c", f"curl -f http://127.0.0.1:{int(probe_port)}/_alive"]},
            "initialDelaySeconds": 15,
            "periodSeconds": 15,
            "timeoutSeconds": 1,
            "successThreshold": 1,
            "failureThreshold": 60,
        },
    }


def _volumes(plan: DeploymentPlan) -> list[JsonObject]:
    cache = f"/var/snap/cache/{plan.chute_id}"
    volumes: list[JsonObject] = [
        {"name": "cache", "hostPath": {"path": cache, "type": "DirectoryOrCreate"}},
        {"name": "raw-cache", "hostPath": {"path": "/var/snap/cache", "type": "DirectoryOrCreate"}},
        {"name": "tmp", "emptyDir": {"sizeLimit": f"{plan.disk_gb}Gi"}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": SHARED_MEMORY}},
    ]
    if plan.needs_code:
        volumes.append({"name": "code", "configMap": {"name": code_name(plan.chute_id, plan.version)}})
    return volumes


def job(plan: DeploymentPlan, settings: PodSettings, node_ports: Mapping[tuple[str, int], int]) -> JsonObject:
    """The Job. GPUs are pinned by environment alone, so the claim in the database is what keeps them apart.

    Args:
        plan: the deployment.
        settings: the fleet's.
        node_ports: node port by protocol and container port, as the Service got them.
    """
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(plan.deployment_id),
            "namespace": settings.namespace,
            "labels": _job_labels(plan),
        },
        "spec": {
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": 300,
            "template": {
                "metadata": {
                    "labels": _job_labels(plan),
                    "annotations": {
                        "prometheus.io/scrape": "true",
                        "prometheus.io/path": "/_metrics",
                        "prometheus.io/port": str(int(ChutePort.PRIMARY)),
                    },
                },
                "spec": {
                    "restartPolicy": "Never",
                    "terminationGracePeriodSeconds": settings.shutdown_seconds,
                    "nodeName": plan.server_name,
                    "runtimeClassName": settings.runtime_class,
                    "securityContext": {"runAsUser": 1000, "runAsGroup": 1000},
                    "initContainers": [_cache_container(plan, settings)],
                    "containers": [_chute_container(plan, settings, node_ports)],
                    "volumes": _volumes(plan),
                },
            },
        },
    }


def warm_up_job(plan: DeploymentPlan, settings: PodSettings) -> JsonObject:
    """A short pod that pulls the chute's image onto a node and ends; it takes no GPU and has no launch token."""
    name = f"warm-{uuid.uuid5(uuid.NAMESPACE_OID, f'{plan.chute_id}::{plan.version}::{plan.server_name}')}"
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": settings.namespace, "labels": {"headframe/warm-up": plan.chute_id}},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": 60,
            "activeDeadlineSeconds": 3600,
            "template": {
                "metadata": {"labels": {"headframe/warm-up": plan.chute_id}},
                "spec": {
                    "restartPolicy": "Never",
                    "nodeName": plan.server_name,
                    "securityContext": {"runAsUser": 1000, "runAsGroup": 1000},
                    "containers": [
                        {
                            "name": "pull",
                            "image": image_reference(plan, settings),
                            "command": ["/bin/sh", "-c", "exit 0"],
                        }
                    ],
                },
            },
        },
    }

"""Kubernetes objects of one deployment, field by field as validators and workers check them (spec: gepetto 17, 18)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.gepetto.kubernetes.container import command, environment, image_reference, ports_of
from app.gepetto.kubernetes.plan import (
    DeploymentPlan,
    JobPort,
    JsonObject,
    PodSettings,
    code_name,
    job_name,
    service_name,
)
from app.protocol import labels
from app.protocol.model_cache import CACHE_FOLDER, limits_of, protection_of
from app.protocol.ports import ChutePort
from app.protocol.wire import driver_gpu_id, version_tuple

CODE_LABEL: Final = "chutes/code"
SHARED_MEMORY: Final = "16Gi"
#: From this runtime version on the probe asks on the logging port.
PROBE_ON_LOGGING: Final = (0, 3, 3)


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


def service(plan: DeploymentPlan, settings: PodSettings) -> JsonObject:
    """The NodePort Service; the cluster chooses the node ports."""
    ports = ports_of(plan)
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
                **_protection(plan),
                "HF_HOME": "/cache",
                "CIVITAI_HOME": "/cache/civitai",
                "CACHE_MAX_AGE_DAYS": str(limits.max_age_days),
                "CACHE_MAX_SIZE_GB": str(limits.max_size_gb),
                # Of our cleaner alone: a cache that is not within its limits must not keep the chute from starting.
                "INIT_CONTAINER": "true",
                "NVIDIA_VISIBLE_DEVICES": ",".join(driver_gpu_id(gpu) for gpu in plan.gpu_ids),
            }
        ),
    }


def _protection(plan: DeploymentPlan) -> dict[str, str]:
    """Of our cleaner alone: whose models it leaves alone besides. Nothing where the chute will be alone."""
    return {"CLEANUP_PROTECT": protection_of(plan.neighbours)} if plan.neighbours else {}


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
        "ports": [{"containerPort": int(port.port), "protocol": port.protocol} for port in ports_of(plan)],
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
    cache = f"{CACHE_FOLDER}/{plan.chute_id}"
    volumes: list[JsonObject] = [
        {"name": "cache", "hostPath": {"path": cache, "type": "DirectoryOrCreate"}},
        {"name": "raw-cache", "hostPath": {"path": CACHE_FOLDER, "type": "DirectoryOrCreate"}},
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
            "template": _pod_template(plan, settings, node_ports),
        },
    }


def _pod_template(plan: DeploymentPlan, settings: PodSettings, node_ports: Mapping[tuple[str, int], int]) -> JsonObject:
    return {
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
    }

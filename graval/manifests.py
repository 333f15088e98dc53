"""Kubernetes objects of a node's bootstrap: a Job that serves the proof, and the Service that validators reach it by.

Pure: plain data in, JSON objects out. Names and labels are the public ones (spec graval 2.4), the rest is stricter:
whoever the pod is, it writes nowhere, has no token of the cluster, and its network policy lets it call nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from app.protocol import labels
from app.protocol.ports import ClusterPort

JsonObject = dict[str, object]

APP: Final = "graval"
NODE_LABEL: Final = "graval-node"
USER_ID: Final = 10001
LIFETIME_AFTER_END_SECONDS: Final = 300
#: A bootstrap that nobody ends does not keep a node's GPUs for ever.
DEADLINE_SECONDS: Final = 3600


@dataclass(frozen=True)
class BootstrapPlan:
    """One node's bootstrap. `whitelist` are hotkeys that may call; memory in GiB for each GPU."""

    node: str
    image: str
    miner: str
    whitelist: tuple[str, ...]
    gpu_count: int
    cpu_per_gpu: int
    memory_per_gpu_gib: int
    namespace: str = labels.CHUTES_NAMESPACE
    runtime_class: str | None = "nvidia"
    #: More variables of the service, such as GRAVAL_BACKEND.
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        """Raises ValueError for a plan whose service would not start, or that a validator refuses."""
        if not self.miner or not self.whitelist:
            raise ValueError("a bootstrap needs the miner's hotkey and at least one validator's in the whitelist")
        if not 1 <= self.gpu_count <= 10:
            raise ValueError(f"{self.gpu_count} GPUs on {self.node}, validators take 1 to 10")

    @property
    def job_name(self) -> str:
        """Name of the Job, and value of the label by which its objects are found."""
        return f"graval-{_dns(self.node)}"

    @property
    def service_name(self) -> str:
        """Name of the Service."""
        return f"graval-svc-{_dns(self.node)}"

    @property
    def labels(self) -> dict[str, str]:
        """On every object; the Service and the policy find the pod by them."""
        return {"app": APP, NODE_LABEL: self.node}


def bootstrap_objects(plan: BootstrapPlan) -> tuple[JsonObject, JsonObject, JsonObject]:
    """Service, NetworkPolicy and Job, in the order to create them; delete them in the other."""
    return bootstrap_service(plan), bootstrap_policy(plan), bootstrap_job(plan)


def bootstrap_service(plan: BootstrapPlan) -> JsonObject:
    """The cluster chooses the node port; it is what a validator is told."""
    port = {"name": "http", "port": int(ClusterPort.HTTP), "targetPort": int(ClusterPort.HTTP), "protocol": "TCP"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(plan, plan.service_name),
        "spec": {"type": "NodePort", "selector": plan.labels, "ports": [port]},
    }


def bootstrap_policy(plan: BootstrapPlan) -> JsonObject:
    """Callers reach the one port; the pod reaches nobody."""
    ingress = [{"ports": [{"port": int(ClusterPort.HTTP), "protocol": "TCP"}]}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(plan, plan.job_name),
        "spec": {
            "podSelector": {"matchLabels": plan.labels},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": ingress,
            "egress": [],
        },
    }


def bootstrap_job(plan: BootstrapPlan) -> JsonObject:
    """One pod on the node with all of its GPUs."""
    pod: JsonObject = {
        "restartPolicy": "OnFailure",
        "nodeName": plan.node,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(plan)],
    }
    if plan.runtime_class is not None:
        pod["runtimeClassName"] = plan.runtime_class
    metadata = _metadata(plan, plan.job_name)
    metadata["labels"] = {**plan.labels, labels.CHUTE: "false"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": 3,
            "ttlSecondsAfterFinished": LIFETIME_AFTER_END_SECONDS,
            "activeDeadlineSeconds": DEADLINE_SECONDS,
            "template": {"metadata": {"labels": metadata["labels"]}, "spec": pod},
        },
    }


def _container(plan: BootstrapPlan) -> JsonObject:
    amounts = {
        "cpu": str(plan.gpu_count * plan.cpu_per_gpu),
        "memory": f"{plan.gpu_count * plan.memory_per_gpu_gib}Gi",
        labels.NVIDIA_GPU_RESOURCE: str(plan.gpu_count),
    }
    environment = {
        **plan.environment,
        "VALIDATOR_WHITELIST": ",".join(plan.whitelist),
        "MINER_HOTKEY_SS58": plan.miner,
        "GRAVAL_PORT": str(int(ClusterPort.HTTP)),
    }
    return {
        "name": APP,
        "image": plan.image,
        "env": [{"name": name, "value": value} for name, value in sorted(environment.items())],
        "ports": [{"name": "http", "containerPort": int(ClusterPort.HTTP), "protocol": "TCP"}],
        "resources": {"requests": amounts, "limits": amounts},
        "readinessProbe": {
            "httpGet": {"path": "/ping", "port": int(ClusterPort.HTTP)},
            "periodSeconds": 2,
            "timeoutSeconds": 2,
            "failureThreshold": 3,
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _metadata(plan: BootstrapPlan, name: str) -> JsonObject:
    return {"name": name, "namespace": plan.namespace, "labels": plan.labels}


def _dns(name: str) -> str:
    """Names of Services allow no dots."""
    return name.replace(".", "-").lower()

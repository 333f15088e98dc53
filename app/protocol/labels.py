"""Label, annotation and namespace names of Kubernetes objects (spec: protocol 1, 4, 18; infra 1.4).

Programs compare these strings with those of the public miner: a change breaks clusters that run already.
"""

from __future__ import annotations

from typing import Final

CHUTES_NAMESPACE: Final = "chutes"
MONITORING_NAMESPACE: Final = "monitoring"
GPU_OPERATOR_NAMESPACE: Final = "gpu-operator"
#: On the control cluster: one Secret for each bare GPU node, named like the node, with its kubeconfig (DESIGN D17).
NODES_NAMESPACE: Final = "headframe-nodes"
NODE_KUBECONFIG_KEY: Final = "kubeconfig"

# Nodes
EXTERNAL_IP: Final = "chutes/external-ip"
TEE: Final = "chutes/tee"
VALIDATOR: Final = "chutes/validator"
WORKER: Final = "chutes/worker"
GPU_SHORT_REF: Final = "gpu-short-ref"
NVIDIA_GPU_COUNT: Final = "nvidia.com/gpu.count"
NVIDIA_GPU_MEMORY_MIB: Final = "nvidia.com/gpu.memory"
NVIDIA_GPU_PRODUCT: Final = "nvidia.com/gpu.product"
NVIDIA_GPU_RESOURCE: Final = "nvidia.com/gpu"
#: Annotation of a node that an operator's act empties: copies on it are to be ended in order, jobs may finish.
DRAINING: Final = "headframe/draining"

# Chute jobs, pods and services
CHUTE: Final = "chutes/chute"
CHUTE_ID: Final = "chutes/chute-id"
CONFIG_ID: Final = "chutes/config-id"
DEPLOYMENT_ID: Final = "chutes/deployment-id"
JOB: Final = "chutes/job"
JOB_ID: Final = "chutes/job-id"
VERSION: Final = "chutes/version"

# Admission to the databases of the control cluster
POSTGRES_ACCESS: Final = "postgres-access"
REDIS_ACCESS: Final = "redis-access"

#: On every simulated thing of the lab; a production policy refuses it.
SIMULATED: Final = "headframe/simulated"

"""Every port of the system, each in one place (spec: infra 1.3, protocol 1).

Nothing else may write a port number down.
"""

from __future__ import annotations

from enum import IntEnum


class HostPort(IntEnum):
    """Ports that a machine of the fleet opens on its own address."""

    SSH = 22
    KUBERNETES_API = 6443
    #: The control host tells callers the address that they come from.
    ECHO = 6450
    KUBELET = 10250
    NODE_EXPORTER = 9100
    SYSTEM_MANAGER = 8080


class NodePort(IntEnum):
    """Fixed Kubernetes node ports. 32000 serves two programs, but never on one cluster."""

    GRAFANA = 30080
    WORKER_PROMETHEUS = 30090
    ATTESTATION = 30443
    REGISTRY_PROXY = 30500
    MINER_API = 32000
    MONITOR_API = 32001
    AGENT = 32000


class ClusterPort(IntEnum):
    """Ports that are reached only inside a cluster."""

    HTTP = 8000
    POSTGRESQL = 5432
    REDIS = 6379
    PROMETHEUS = 9090
    REGISTRY_PROXY = 5000


class ChutePort(IntEnum):
    """Container ports of a chute pod (spec: protocol 18)."""

    PRIMARY = 8000
    LOGGING = 8001
    ATTESTATION = 8002


#: Kubernetes' node port range, both ends included; chutes get random ports of it.
NODE_PORT_FIRST = 30000
NODE_PORT_LAST = 32767

"""Redis keys and channels that the public programs read and write (spec: protocol 11).

Keys that only our programs know start with `headframe:`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

#: Validator events, miner API to Gepetto; payload `{"event_type", "event_data"}`.
MINER_EVENTS: Final = "miner_events"
#: Hash of what the scheduler weighed, Gepetto to miner API. Field: a chute's or server's id; value: a JSON object.
SCHEDULER_REASONS: Final = "headframe:why"
ALL_RESOURCES: Final = "resources:all"
ALL_CLUSTERS: Final = "clusters:all"
CLUSTER_RECONNECTS: Final = "clusters:all:reconnect"


class ResourceType(StrEnum):
    """The kinds of Kubernetes object that agents report."""

    NODE = "node"
    DEPLOYMENT = "deployment"
    SERVICE = "service"
    POD = "pod"
    JOB = "job"


def health_key(cluster: str) -> str:
    """Hash with a cluster's health: cluster_name, state, last_heartbeat, error_message, heartbeat_failures."""
    return f"clusters:{cluster}:health"


def resources_key(cluster: str, kind: ResourceType) -> str:
    """Hash of a cluster's objects of one kind; its fields are `resource_field(...)`, its values Kubernetes JSON."""
    return f"clusters:{cluster}:resources:{kind}"


def resource_field(namespace: str | None, name: str) -> str:
    """Field of one object; a cluster-scoped one stands under the literal `None`, as the public monitor writes it."""
    return f"{namespace}:{name}"


def cluster_resources(cluster: str) -> str:
    """Channel of one cluster's changes."""
    return f"cluster:{cluster}:resources"


def cluster_resources_of(cluster: str, kind: ResourceType) -> str:
    """Channel of one cluster's changes of one kind."""
    return f"cluster:{cluster}:resources:{kind}"


def resources_of(kind: ResourceType) -> str:
    """Channel of one kind's changes in every cluster."""
    return f"resources:{kind}"

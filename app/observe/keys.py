"""Redis keys of ours beside the public ones (`app.protocol.channels`), and the words stored under them. No I/O."""

from __future__ import annotations

from typing import Final

from app.protocol.channels import ResourceType
from app.protocol.labels import CHUTE_ID, CONFIG_ID, DEPLOYMENT_ID, JOB_ID

_PREFIX: Final = "headframe:observe"
#: Stream of every applied change, envelope only; readers keep a position in it.
CHANGES: Final = f"{_PREFIX}:changes"
#: Grows at every pass of the health checker: a lower value than the one last written betrays an old dump.
EPOCH: Final = f"{_PREFIX}:epoch"
RECONCILER_LOCK: Final = f"{_PREFIX}:reconciler"
#: Hash of clusters that the inventory lacked at the last look, with the time of the first such look.
MISSING_SERVERS: Final = f"{_PREFIX}:missing-servers"
#: Hash of attempts to start an agent: cluster -> `failures next_ms`.
START_ATTEMPTS: Final = f"{_PREFIX}:start-attempts"
INDEX_PREFIX: Final = f"{_PREFIX}:index:"
JOB_NAME_LABEL: Final = "job-name"
#: Labels that objects can be found by without reading a whole cluster.
INDEXED_LABELS: Final = (DEPLOYMENT_ID, CONFIG_ID, CHUTE_ID, JOB_ID, JOB_NAME_LABEL)


def cluster_prefix(cluster: str) -> str:
    """What every key of one cluster begins with."""
    return f"{_PREFIX}:cluster:{cluster}:"


def state_key(cluster: str) -> str:
    """Hash: generation, completed_ms, received_ms, dirty, resync_at_ms, removing_ms, skew_ms, agent."""
    return f"{cluster_prefix(cluster)}state"


def entries_key(cluster: str, kind: ResourceType) -> str:
    """Hash field -> `app.observe.entries` text: what is known of each object without its body."""
    return f"{cluster_prefix(cluster)}entries:{kind}"


def held_key(cluster: str, kind: ResourceType) -> str:
    """Hash field -> `uid first_ms`: objects that a list lacked and that nothing has proven gone."""
    return f"{cluster_prefix(cluster)}held:{kind}"


def tombstones_key(cluster: str) -> str:
    """Hash uid -> `version expires_ms`: objects known to be gone, so that late events cannot bring them back."""
    return f"{cluster_prefix(cluster)}tombstones"


def index_key(term: str) -> str:
    """Set of `cluster TAB kind TAB field` that carry the term."""
    return INDEX_PREFIX + term


def label_term(label: str, value: str) -> str:
    """Index term of a label's value."""
    return f"label:{label}={value}"


def node_term(node_name: str) -> str:
    """Index term of the pods of a node."""
    return f"node:{node_name}"


def name_term(kind: ResourceType, field: str) -> str:
    """Index term of a name: which cluster holds it."""
    return f"name:{kind}:{field}"

"""Builds a cluster that nobody sees yet, and shows it in one step: for the first list of an untracked cluster.

The objects are written under temporary keys and renamed together, so that readers of the public keys go from nothing to
everything. An untracked cluster takes no events, so nothing can come between.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final, cast

from redis import Redis

from app.observe.entries import encode_entry
from app.observe.keys import CHANGES, cluster_prefix, entries_key, held_key, index_key, tombstones_key
from app.observe.planning import Operation
from app.protocol.channels import ResourceType, resources_key

_PORTION: Final = 500
_EXPIRY_SECONDS: Final = 600
_LONGEST_LOG: Final = 50_000


def stage(redis: Redis, cluster: str, puts: Sequence[Operation], now_ms: int) -> list[int]:
    """Make these objects the whole of a cluster. Whatever stood under its keys, left over by somebody, is replaced.

    The cluster is tracked only with the script that follows.
    """
    token = uuid.uuid4().hex
    by_kind: dict[ResourceType, list[Operation]] = {kind: [] for kind in ResourceType}
    for operation in puts:
        by_kind[operation.kind].append(operation)
    for kind, operations in by_kind.items():
        for start in range(0, len(operations), _PORTION):
            _write(redis, cluster, kind, operations[start : start + _PORTION], token, now_ms)
    pipe = redis.pipeline(transaction=True)
    pipe.delete(tombstones_key(cluster))
    for kind, operations in by_kind.items():
        pipe.delete(held_key(cluster, kind))
        for key in (resources_key(cluster, kind), entries_key(cluster, kind)):
            if operations:
                pipe.rename(_temporary(cluster, key, token), key)
                pipe.persist(key)
            else:
                pipe.delete(key)
    pipe.execute()
    return [1] * len(puts)


def _write(
    redis: Redis, cluster: str, kind: ResourceType, operations: Sequence[Operation], token: str, now_ms: int
) -> None:
    objects = _temporary(cluster, resources_key(cluster, kind), token)
    entries = _temporary(cluster, entries_key(cluster, kind), token)
    pipe = redis.pipeline(transaction=False)
    pipe.hset(objects, mapping={item.field: item.body for item in operations})
    pipe.hset(
        entries,
        mapping={
            item.field: encode_entry(item.uid, item.version, now_ms, item.terms, item.details) for item in operations
        },
    )
    pipe.expire(objects, _EXPIRY_SECONDS)
    pipe.expire(entries, _EXPIRY_SECONDS)
    for item in operations:
        for term in item.terms.split("\t"):
            pipe.sadd(index_key(term), f"{cluster}\t{kind}\t{item.field}")
        change: dict[str, str] = {
            "cluster": cluster,
            "kind": kind.value,
            "event": "ADDED",
            "field": item.field,
            "uid": item.uid,
        }
        pipe.xadd(CHANGES, cast("Any", change | {"version": item.version}), maxlen=_LONGEST_LOG, approximate=True)
    pipe.execute()


def _temporary(cluster: str, key: str, token: str) -> str:
    return f"{cluster_prefix(cluster)}staged:{token}:{key}"

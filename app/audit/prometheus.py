"""What the worker and control Prometheus know of an hour: two sums, and since when it runs (spec: protocol 16)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import httpx
import structlog

from app.audit.report import Bucket, ChuteUsage, usages
from app.protocol.cluster_access import KubeconfigError, in_cluster_access, open_client

_SELECTOR: Final = "app.kubernetes.io/name=prometheus,app.kubernetes.io/component=server"
_CONTAINER: Final = "prometheus-server"
_BY: Final = "chutes_deployment_id, chute_id, function"
_log = structlog.get_logger(__name__)


class PrometheusError(RuntimeError):
    """Prometheus did not answer a query: there is no report without it."""


async def read_usages(http: httpx.AsyncClient, url: str, bucket: Bucket) -> tuple[ChuteUsage, ...]:
    """The hour's served seconds and counts by function.

    Raises:
        PrometheusError: it did not answer, or with an error.
    """
    seconds = await _query(http, url, bucket, "invocation_duration_sum")
    counts = await _query(http, url, bucket, "invocation_total")
    return usages(seconds, counts)


async def _query(http: httpx.AsyncClient, url: str, bucket: Bucket, metric: str) -> Sequence[Mapping[str, object]]:
    query = f'sum by ({_BY}) (increase({metric}{{status="200"}}[1h]))'
    moment = str(bucket.end.timestamp())
    parameters = {"query": query, "start": moment, "end": moment, "step": "1h"}
    try:
        response = await http.get(f"{url}/api/v1/query_range", params=parameters)
        response.raise_for_status()
        result: Sequence[Mapping[str, object]] = response.json()["data"]["result"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise PrometheusError(f"{url} did not answer the query for {metric}: {type(error).__name__}") from error
    return result


async def read_start(namespace: str, environment: Mapping[str, str]) -> datetime | None:
    """When the Prometheus server's container started; None when that cannot be found out, which is tolerated."""
    try:
        async with open_client(in_cluster_access(environment)) as kubernetes:
            path = f"/api/v1/namespaces/{namespace}/pods"
            response = await kubernetes.get(path, params={"labelSelector": _SELECTOR})
            response.raise_for_status()
            return start_of(response.json())
    except (KubeconfigError, httpx.HTTPError, OSError, ValueError) as error:
        _log.info("prometheus uptime is unknown", error=type(error).__name__)
        return None


def start_of(pods: Mapping[str, object]) -> datetime | None:
    """The start of the server's container in a pod list."""
    items = pods.get("items")
    for pod in items if isinstance(items, list) else []:
        for status in pod.get("status", {}).get("containerStatuses") or ():
            started = ((status.get("state") or {}).get("running") or {}).get("startedAt")
            if status.get("name") == _CONTAINER and started:
                return datetime.fromisoformat(started).astimezone(UTC)
    return None

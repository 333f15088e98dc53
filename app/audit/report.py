"""The hourly report as bytes. Pure: rows, metrics and the hour go in (spec: protocol 16).

The bytes are made once and kept: the digest on the chain, the upload and every retry speak of the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.storage.models import DeploymentAudit


@dataclass(frozen=True)
class Bucket:
    """One full hour, UTC."""

    start: datetime
    end: datetime

    @classmethod
    def last_full(cls, now: datetime) -> Bucket:
        """The hour before the one that `now` is in."""
        end = now.replace(minute=0, second=0, microsecond=0)
        return cls(end - timedelta(hours=1), end)


@dataclass(frozen=True)
class ChuteUsage:
    """What one function of one deployment served in the hour."""

    chute_id: str
    deployment_id: str
    function: str
    total_seconds: float
    total_count: int


def usages(seconds: Sequence[Mapping[str, object]], counts: Sequence[Mapping[str, object]]) -> tuple[ChuteUsage, ...]:
    """Join the two Prometheus results; a function without a count served 0, one without seconds is left out."""
    counted = {_labels(sample): _value(sample) for sample in counts}
    joined = (
        ChuteUsage(key[0], key[1], key[2], _value(sample), int(counted.get(key, 0.0)))
        for sample in seconds
        if (key := _labels(sample))
    )
    return tuple(usage for usage in joined if usage.total_seconds > 0)


def build_report(
    hotkey: str, bucket: Bucket, message: str, used: Sequence[ChuteUsage], rows: Sequence[DeploymentAudit]
) -> bytes:
    """The report in the public exporter's form and order."""
    content = {
        "miner_hotkey": hotkey,
        "start_time": bucket.start.isoformat(),
        "end_time": bucket.end.isoformat(),
        "prometheus_message": message,
        "prometheus_metrics": [
            {
                "chute_id": usage.chute_id,
                "deployment_id": usage.deployment_id,
                "function": usage.function,
                "total_seconds": usage.total_seconds,
                "total_count": usage.total_count,
            }
            for usage in used
        ],
        "deployment_audit": [_row(row) for row in rows],
    }
    return json.dumps(content).encode()


def uptime_message(started: datetime | None, bucket: Bucket) -> str:
    """How much of the hour Prometheus can speak for."""
    if started is None:
        return "Prometheus uptime is unknown."
    if started <= bucket.start:
        return "Prometheus covers the full hour."
    return f"Prometheus has been up for only {max(0, int((bucket.end - started).total_seconds()))} seconds of the hour."


def _row(row: DeploymentAudit) -> dict[str, str | None]:
    names = [column.name for column in DeploymentAudit.__table__.columns]
    return {name: _text(getattr(row, name)) for name in names}


def _text(value: object) -> str | None:
    if value is None:
        return None
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _labels(sample: Mapping[str, object]) -> tuple[str, str, str]:
    metric = sample.get("metric")
    labels: Mapping[str, object] = metric if isinstance(metric, Mapping) else {}
    return tuple(str(labels.get(name, "")) for name in ("chute_id", "chutes_deployment_id", "function"))  # type: ignore[return-value]


def _value(sample: Mapping[str, object]) -> float:
    values = sample.get("values")
    if not isinstance(values, Sequence) or not values:
        return 0.0
    return float(values[-1][1])

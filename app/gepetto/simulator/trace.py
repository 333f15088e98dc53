"""Recording what a validator publishes into traces, and reading them back (spec: gepetto 25.2, 25.7).

JSON lines, gzip; hotkeys are hashed; code, keys and addresses never get in. Unknown types and fields are accepted.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson

from app.gepetto.ports import ValidatorPort
from app.protocol.chutes import ChuteRecord, Utilization
from app.protocol.instances import ActiveInstance

SCHEMA: Final = 1
JsonLine = dict[str, object]


def hashed(hotkey: str, salt: str) -> str:
    """A miner's name in a trace: the same within one trace, and of no use outside."""
    return hashlib.blake2b(f"{salt}:{hotkey}".encode(), digest_size=8).hexdigest()


@dataclass
class Recorder:
    """Polls a validator's public lists and writes what changed. One sample a minute is enough."""

    validator: ValidatorPort
    clock: Callable[[], float]
    salt: str
    _chutes: dict[str, JsonLine] = field(default_factory=dict)
    _capacity: dict[str, JsonLine] = field(default_factory=dict)
    _instances: dict[str, float] = field(default_factory=dict)

    def header(self) -> JsonLine:
        return {"type": "meta", "schema": SCHEMA, "start": self.clock(), "validator": self.validator.hotkey}

    async def sample(self) -> list[JsonLine]:
        """Lines for everything that changed since the last sample."""
        at = self.clock()
        chutes, usage, active = (
            await self.validator.chutes(),
            await self.validator.utilization(),
            await self.validator.active_instances(),
        )
        lines = self._chute_lines(chutes.items, at) + self._capacity_lines(usage.items, at)
        return lines + (self._instance_lines(active.items, at) if active.complete else [])

    def _chute_lines(self, records: Iterable[ChuteRecord], at: float) -> list[JsonLine]:
        lines = []
        for record in records:
            line: JsonLine = {
                "type": "chute",
                "id": record.chute_id,
                "version": record.version,
                "gpu_count": record.gpu_count,
                "gpu_types": sorted(record.gpu_refs),
                "tee": record.tee,
                "public": record.public,
                "preemptible": record.preemptible,
                "m_eff": record.effective_compute_multiplier,
                "factors": record.compute_multiplier_factors,
            }
            if self._chutes.get(record.chute_id) != line:
                self._chutes[record.chute_id] = line
                lines.append({"t": at, **line})
        return lines

    def _capacity_lines(self, records: Iterable[Utilization], at: float) -> list[JsonLine]:
        lines = []
        for record in records:
            line: JsonLine = {
                "type": "capacity",
                "chute": record.chute_id,
                "target": record.target_count,
                "total": record.total_instance_count,
                "active": record.active_instance_count,
                "allowance": record.scale_allowance,
                "utilization_5m": record.utilization_5m,
                "utilization_15m": record.utilization_15m,
                "rate_limit_5m": record.rate_limit_ratio_5m,
            }
            if self._capacity.get(record.chute_id) != line:
                self._capacity[record.chute_id] = line
                lines.append({"t": at, **line})
        return lines

    def _instance_lines(self, records: Iterable[ActiveInstance], at: float) -> list[JsonLine]:
        lines: list[JsonLine] = []
        seen: dict[str, float] = {}
        for record in records:
            value = seen[record.instance_id] = record.compute_multiplier or 0.0
            known = self._instances.get(record.instance_id)
            if known != value:
                event = "active" if known is None else "multiplier"
                miner = hashed(record.miner_hotkey, self.salt)
                line = {"t": at, "type": "instance", "id": record.instance_id, "chute": record.chute_id}
                lines.append({**line, "miner": miner, "event": event, "value": value})
        gone = self._instances.keys() - seen.keys()
        lines += [{"t": at, "type": "instance", "id": name, "event": "deleted"} for name in sorted(gone)]
        self._instances = seen
        return lines


def append(path: Path, lines: Iterable[JsonLine]) -> int:
    """Add lines to a trace; returns how many."""
    body = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    if body:
        with gzip.open(path, "ab") as file:
            file.write(body)
    return body.count(b"\n")


def read(path: Path) -> Iterator[JsonLine]:
    """Lines of a trace in order; ones that are not JSON objects are skipped."""
    with gzip.open(path, "rb") as file:
        for raw in file:
            try:
                line = orjson.loads(raw)
            except orjson.JSONDecodeError:
                continue
            if isinstance(line, dict):
                yield line

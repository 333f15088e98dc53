"""Snapshot files: `snapshots/snapshot_<time>.json` (spec: tracker 4).

Written whole or not at all, and never overwritten.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from tracker.errors import StorageError
from tracker.model import SCHEMA_VERSION, Snapshot, Subnet


@dataclass(frozen=True)
class Unreadable:
    """A file that is no snapshot, and why."""

    path: Path
    reason: str


def file_name(snapshot: Snapshot) -> str:
    """Name by the block's own time, ISO 8601 in UTC with hyphens for colons."""
    return f"snapshot_{time_in_name(snapshot.timestamp)}.json"


def time_in_name(moment: datetime) -> str:
    """A time as file names hold it."""
    return format_time(moment).replace(":", "-")


def format_time(moment: datetime) -> str:
    """ISO 8601 in UTC; fractions only where there are any."""
    return moment.astimezone(UTC).isoformat()


def encode(snapshot: Snapshot) -> bytes:
    """The file's bytes: the required keys of the earlier tool, ours beside them, unknown ones left out."""
    document: dict[str, object] = {
        "timestamp": format_time(snapshot.timestamp),
        "network": snapshot.network,
        "schema": SCHEMA_VERSION,
        "block": snapshot.block,
        "block_hash": snapshot.block_hash,
        "finalized": snapshot.finalized,
        "spec_version": snapshot.spec_version,
        "taken_at": None if snapshot.taken_at is None else format_time(snapshot.taken_at),
        "endpoint": snapshot.endpoint,
        "sdk": snapshot.sdk,
    }
    known = {key: value for key, value in document.items() if value is not None}
    subnets = {str(netuid): _encode_subnet(snapshot.subnets[netuid]) for netuid in sorted(snapshot.subnets)}
    return orjson.dumps(known | {"subnets": subnets})


def _encode_subnet(subnet: Subnet) -> dict[str, object]:
    uids = sorted(subnet.hotkeys)
    entry: dict[str, object] = {
        "uid_hotkey_map": {str(uid): subnet.hotkeys[uid] for uid in uids},
        "n_neurons": subnet.count,
        "block": subnet.block,
    }
    if subnet.registered_at is not None:
        entry["registered_at"] = subnet.registered_at
    if subnet.burn_rao is not None:
        entry["burn_rao"] = subnet.burn_rao
    if subnet.registered:
        entry["registration_blocks"] = {str(uid): subnet.registered[uid] for uid in uids if uid in subnet.registered}
    return entry


def decode(data: bytes) -> Snapshot:
    """Read a file of ours or of the earlier tool.

    Raises:
        ValueError: it is no snapshot; the message says what is missing.
    """
    document = orjson.loads(data)
    if not isinstance(document, dict) or not isinstance(document.get("subnets"), dict):
        raise ValueError("there is no object `subnets` in it")  # noqa: TRY004 - bad data, not a bad call
    for key in ("timestamp", "network"):
        if not isinstance(document.get(key), str):
            raise ValueError(f"there is no text `{key}` in it")  # noqa: TRY004 - bad data, not a bad call
    subnets = {int(netuid): _decode_subnet(int(netuid), entry) for netuid, entry in document["subnets"].items()}
    block = document.get("block")
    if block is None:
        block = max((subnet.block for subnet in subnets.values()), default=0)
    taken = document.get("taken_at")
    return Snapshot(
        network=document["network"],
        block=int(block),
        timestamp=parse_time(document["timestamp"]),
        subnets=subnets,
        block_hash=document.get("block_hash"),
        finalized=document.get("finalized"),
        spec_version=document.get("spec_version"),
        taken_at=None if taken is None else parse_time(taken),
        endpoint=document.get("endpoint"),
        sdk=document.get("sdk"),
    )


def _decode_subnet(netuid: int, entry: dict[str, Any]) -> Subnet:
    if not isinstance(entry, dict) or not isinstance(entry.get("uid_hotkey_map"), dict):
        raise ValueError(f"subnet {netuid} has no `uid_hotkey_map`")  # noqa: TRY004 - bad data, not a bad call
    return Subnet(
        netuid=netuid,
        hotkeys={int(uid): str(hotkey) for uid, hotkey in entry["uid_hotkey_map"].items()},
        registered={int(uid): int(block) for uid, block in (entry.get("registration_blocks") or {}).items()},
        registered_at=entry.get("registered_at"),
        burn_rao=entry.get("burn_rao"),
        block=int(entry.get("block") or 0),
    )


def parse_time(text: str) -> datetime:
    """A time with any offset; one without is UTC.

    Raises:
        ValueError: it is no ISO 8601 time.
    """
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def write(snapshot: Snapshot, folder: Path) -> tuple[Path, bool]:
    """Write a snapshot; returns its path and whether it is new. A file of the same moment is left as it is.

    Raises:
        StorageError: the folder cannot be written.
    """
    path = folder / file_name(snapshot)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            return path, False
        descriptor, temporary = tempfile.mkstemp(prefix=".snapshot-", dir=folder)
        try:
            with os.fdopen(descriptor, "wb") as handle:
                handle.write(encode(snapshot))
                handle.flush()
                os.fsync(handle.fileno())
            Path(temporary).chmod(0o644)
            os.link(temporary, path)  # fails if somebody else wrote it meanwhile: never overwrites
        finally:
            Path(temporary).unlink()
    except FileExistsError:
        return path, False
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror}; give a folder that can be written: --dir"
        ) from error
    return path, True


def read(path: Path) -> Snapshot:
    """Read one file.

    Raises:
        StorageError: it is missing or no snapshot.
    """
    try:
        return decode(path.read_bytes())
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise StorageError(f"{path} is no snapshot: {error}") from error


def read_all(folder: Path) -> tuple[list[Snapshot], list[Unreadable]]:
    """Every snapshot of a folder by time and block, one per block, and the files that are none."""
    snapshots: dict[tuple[str, int, datetime], Snapshot] = {}
    broken = []
    for path in sorted(folder.glob("snapshot_*.json")):
        try:
            snapshot = read(path)
        except StorageError as error:
            broken.append(Unreadable(path, str(error)))
        else:
            snapshots[(snapshot.network, snapshot.block, snapshot.timestamp)] = snapshot
    return sorted(snapshots.values(), key=lambda one: (one.timestamp, one.block)), broken

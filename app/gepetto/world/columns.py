"""The snapshot as NumPy columns, so that no decision loops over pairs (spec: gepetto 24.3). Pure.

Columns are derived data: `build_columns(snapshot, previous)` re-reads only views that are other objects than before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from operator import is_not
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.gepetto.world.snapshot import Snapshot
from app.gepetto.world.views import ChuteView, ServerView, Version

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
MAX_TYPES: Final = 62


@dataclass(frozen=True, slots=True)
class Columns:
    """Row i of `chute_*` is `snapshot.chutes[i]`; row j of `server_*` is `snapshot.servers[j]`."""

    chutes: tuple[ChuteView, ...]
    servers: tuple[ServerView, ...]
    gpu_types: tuple[str, ...]
    validators: tuple[str, ...]
    chute_index: dict[str, int]
    server_index: dict[str, int]
    chute_floats: (
        Floats  # (n, 8): m_eff, m_target, start s, refuse_until, lifetime s or nan, success or nan, load, p90 s
    )
    chute_integers: (
        Integers  # (n, 9): gpus, type mask, room, validator, runtime code, private tee flag, my_active, public, racers
    )
    chute_blocked: Booleans  # never launchable while the view stays as it is
    server_floats: Floats  # (m, 4): cost, maintenance_at, quarantine_until, disk GB
    server_integers: Integers  # (m, 7): type, free, total, tee, validator, vm code, starts
    server_blocked: Booleans
    cached: Booleans  # (n, m): the chute's model lies on the server


def version_code(version: Version | None) -> int:
    """A version as one integer that sorts alike; -1 for an unknown one."""
    return -1 if version is None else version[0] * 1_000_000 + version[1] * 1_000 + version[2]


def room_of(chute: ChuteView, *, racing: bool = True) -> int:
    """How many more copies the validator would take now, less those on their way (spec: gepetto 14.5, 22.5).

    For a public TEE chute that is one beyond the target, unless `racing` is false: the validator lets it start, and
    ends one copy again once both are active.
    """
    if chute.public:
        room = _public_room(chute, 1 if chute.tee and racing else 0)
    elif chute.live == 0:
        room = 1 if chute.bounty else 0
    else:
        room = chute.allowance if chute.allowance is not None else max(0, (chute.target or 0) - chute.live)
    if chute.max_instances is not None:
        room = min(room, chute.max_instances - chute.live)
    return max(0, room - chute.my_pending)


def is_taken(chute: ChuteView) -> bool:
    """Whether other miners run all copies of a private chute that its validator wants (spec: gepetto 14.5)."""
    return not chute.public and bool(chute.target) and chute.others_active >= (chute.target or 0)


def _public_room(chute: ChuteView, racer: int) -> int:
    if chute.target is not None and chute.global_active >= chute.target:
        return 0
    if chute.target is not None:
        return chute.target + racer - chute.live
    if chute.allowance is not None:
        return chute.allowance + racer
    return 1 if chute.scalable else 0


def _chute_row(
    chute: ChuteView, types: dict[str, int], validators: dict[str, int]
) -> tuple[list[float], list[int], bool]:
    mask = 0
    for name in chute.gpu_types:
        if name in types:
            mask |= 1 << types[name]
    unknown = float("nan")
    floats = [
        chute.m_eff,
        chute.m_target,
        chute.start_seconds,
        chute.refuse_until,
        unknown if chute.lifetime_seconds is None else chute.lifetime_seconds,
        unknown if chute.success_rate is None else chute.success_rate,
        chute.utilization,
        chute.start_seconds_p90,
    ]
    integers = [
        chute.gpu_count,
        mask,
        room_of(chute),
        validators.get(chute.validator, -1),
        version_code(chute.runtime_version),
        int(chute.tee),
        chute.my_active + chute.my_pending,
        int(chute.public),
        room_of(chute) - room_of(chute, racing=False),
    ]
    blocked = (
        not chute.has_cords
        or chute.is_cpu
        or chute.banned
        or chute.disabled
        or not chute.scalable
        or chute.update_in_progress
        or chute.m_eff <= 0
        or chute.gpu_count < 1
    )
    return floats, integers, blocked


def _server_row(
    server: ServerView, types: dict[str, int], validators: dict[str, int]
) -> tuple[list[float], list[int], bool]:
    floats = [
        max(server.hourly_cost, 0.0),
        float("inf") if server.maintenance_at is None else server.maintenance_at,
        server.quarantine_until,
        server.disk_free_gb,
    ]
    integers = [
        types.get(server.gpu_type, -1),
        server.free,
        server.gpu_total,
        int(server.tee),
        validators.get(server.validator, -1),
        version_code(server.vm_version),
        server.starts_in_progress,
    ]
    return floats, integers, server.locked or not server.healthy


def build_columns(snapshot: Snapshot, previous: Columns | None = None) -> Columns:
    """Columns of a snapshot; rows whose view is the same object as in `previous` are taken over unread."""
    if previous is None:
        return _build_all(snapshot)
    if len(snapshot.chutes) != len(previous.chutes) or len(snapshot.servers) != len(previous.servers):
        return _build_all(snapshot)
    chutes_moved, servers_moved = (
        _moved(snapshot.chutes, previous.chutes),
        _moved(snapshot.servers, previous.servers),
    )
    if not chutes_moved and not servers_moved:
        return previous
    if not _same_rows(snapshot, previous, chutes_moved, servers_moved):
        return _build_all(snapshot)
    return _update(snapshot, previous, chutes_moved, servers_moved)


def _same_rows(snapshot: Snapshot, previous: Columns, chutes_moved: list[int], servers_moved: list[int]) -> bool:
    """Whether every row that moved still is the same chute, or the same server of the same kind."""
    if any(snapshot.chutes[row].id != previous.chutes[row].id for row in chutes_moved):
        return False
    for row in servers_moved:
        fresh, known = snapshot.servers[row], previous.servers[row]
        if fresh.id != known.id or fresh.gpu_type != known.gpu_type or fresh.validator != known.validator:
            return False
    return True


def _build_all(snapshot: Snapshot) -> Columns:
    gpu_types = tuple(sorted({server.gpu_type for server in snapshot.servers}))
    if len(gpu_types) > MAX_TYPES:
        raise ValueError(f"a fleet has at most {MAX_TYPES} GPU models, this one has {len(gpu_types)}")
    validators = tuple(sorted({server.validator for server in snapshot.servers}))
    types = {name: i for i, name in enumerate(gpu_types)}
    codes = {name: i for i, name in enumerate(validators)}
    n, m = len(snapshot.chutes), len(snapshot.servers)
    columns = Columns(
        chutes=snapshot.chutes,
        servers=snapshot.servers,
        gpu_types=gpu_types,
        validators=validators,
        chute_index={chute.id: i for i, chute in enumerate(snapshot.chutes)},
        server_index={server.id: j for j, server in enumerate(snapshot.servers)},
        chute_floats=np.zeros((n, 8)),
        chute_integers=np.zeros((n, 9), dtype=np.int64),
        chute_blocked=np.zeros(n, dtype=np.bool_),
        server_floats=np.zeros((m, 4)),
        server_integers=np.zeros((m, 7), dtype=np.int64),
        server_blocked=np.zeros(m, dtype=np.bool_),
        cached=np.zeros((n, m), dtype=np.bool_),
    )
    for i, chute in enumerate(snapshot.chutes):
        columns.chute_floats[i], columns.chute_integers[i], columns.chute_blocked[i] = _chute_row(chute, types, codes)
    for j, server in enumerate(snapshot.servers):
        columns.server_floats[j], columns.server_integers[j], columns.server_blocked[j] = _server_row(
            server, types, codes
        )
        _mark_cached(columns, j, server)
    return columns


def _mark_cached(columns: Columns, row: int, server: ServerView) -> None:
    columns.cached[:, row] = False
    for chute_id in server.cached_chutes:
        position = columns.chute_index.get(chute_id)
        if position is not None:
            columns.cached[position, row] = True


def _moved(new: Sequence[object], old: Sequence[object]) -> list[int]:
    """The rows whose object is another one."""
    return [] if new is old else list(compress(range(len(new)), map(is_not, new, old)))


def _update(snapshot: Snapshot, previous: Columns, chutes_moved: list[int], servers_moved: list[int]) -> Columns:
    types = {name: i for i, name in enumerate(previous.gpu_types)}
    codes = {name: i for i, name in enumerate(previous.validators)}
    cache_moved = [
        j for j in servers_moved if snapshot.servers[j].cached_chutes is not previous.servers[j].cached_chutes
    ]
    columns = Columns(
        chutes=snapshot.chutes,
        servers=snapshot.servers,
        gpu_types=previous.gpu_types,
        validators=previous.validators,
        chute_index=previous.chute_index,
        server_index=previous.server_index,
        chute_floats=previous.chute_floats.copy(),
        chute_integers=previous.chute_integers.copy(),
        chute_blocked=previous.chute_blocked.copy(),
        server_floats=previous.server_floats.copy() if servers_moved else previous.server_floats,
        server_integers=previous.server_integers.copy() if servers_moved else previous.server_integers,
        server_blocked=previous.server_blocked.copy() if servers_moved else previous.server_blocked,
        cached=previous.cached.copy() if cache_moved else previous.cached,
    )
    for i in chutes_moved:
        columns.chute_floats[i], columns.chute_integers[i], columns.chute_blocked[i] = _chute_row(
            snapshot.chutes[i], types, codes
        )
    for j in servers_moved:
        columns.server_floats[j], columns.server_integers[j], columns.server_blocked[j] = _server_row(
            snapshot.servers[j], types, codes
        )
    for j in cache_moved:
        _mark_cached(columns, j, snapshot.servers[j])
    return columns

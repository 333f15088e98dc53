"""Who may run where, and why not (spec: gepetto 10, 24.9). Pure; one source for decision and explanation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from app.gepetto.decision.configuration import Configuration
from app.gepetto.world.columns import Booleans, Columns, Floats, Integers, room_of, version_code
from app.gepetto.world.snapshot import Snapshot
from app.gepetto.world.views import ChuteView, ServerView

#: From this runtime on a TEE chute is only claimed on virtual machines of at least the second version.
NEW_RUNTIME = version_code((0, 6, 0))
NEW_VIRTUAL_MACHINE = version_code((0, 2, 0))


class ChuteObstacle(StrEnum):
    BANNED = "banned by the operator"
    CPU = "a CPU chute: the validator places it itself"
    NO_CORDS = "it only runs jobs"
    DISABLED = "disabled by the validator"
    NOT_SCALABLE = "the validator wants no more copies"
    UPDATING = "a rolling update is in progress"
    WORTHLESS = "its multiplier is not positive"
    REFUSED = "the validator refused a launch lately"
    NO_ROOM = "the validator's allowance is used up, our pending copies counted"
    MAX_COPIES = "the operator's limit of copies is reached"


class ServerObstacle(StrEnum):
    LOCKED = "locked, or its node is closed for new pods"
    UNHEALTHY = "its cluster is not healthy"
    WRONG_TYPE = "its GPU model is not supported by the chute"
    WRONG_TEE = "it differs from the chute in being confidential"
    WRONG_VALIDATOR = "it belongs to another validator"
    NO_GPUS = "not enough free verified GPUs"
    MAINTENANCE = "its maintenance begins too soon"
    QUARANTINED = "in quarantine after failed launches"
    FAILED_LATELY = "this chute failed here lately"
    STARTS = "it already starts as many copies as it may at once"
    DISK = "not enough free disk"
    VM_OLD = "its virtual machine is too old for the chute's runtime, or its version is unknown"
    RESERVED = "the operator keeps it for other chutes, or the chute for other servers"


def chute_obstacles(chute: ChuteView, now: float, configuration: Configuration) -> tuple[ChuteObstacle, ...]:
    """Every reason why no copy of this chute is started anywhere."""
    override = configuration.chutes.get(chute.id)
    limit: int | None = None if override is None else override.max_copies
    checks = {
        ChuteObstacle.BANNED: chute.banned or (override is not None and override.ban),
        ChuteObstacle.CPU: chute.is_cpu,
        ChuteObstacle.NO_CORDS: not chute.has_cords,
        ChuteObstacle.DISABLED: chute.disabled,
        ChuteObstacle.NOT_SCALABLE: not chute.scalable,
        ChuteObstacle.UPDATING: chute.update_in_progress,
        ChuteObstacle.WORTHLESS: chute.m_eff <= 0,
        ChuteObstacle.REFUSED: chute.refuse_until > now,
        ChuteObstacle.NO_ROOM: room_of(chute) <= 0,
        ChuteObstacle.MAX_COPIES: limit is not None and chute.my_active + chute.my_pending >= limit,
    }
    return tuple(reason for reason, holds in checks.items() if holds)


def rooms(columns: Columns, now: float, configuration: Configuration) -> Integers:
    """How many copies of each chute may be started now; 0 where anything stands against it."""
    integers = columns.chute_integers
    open_for_launch = ~columns.chute_blocked & (columns.chute_floats[:, 3] <= now) & (integers[:, 1] != 0)
    room = np.where(open_for_launch, integers[:, 2], 0)
    for chute_id, override in configuration.chutes.items():
        position = columns.chute_index.get(chute_id)
        if position is None:
            continue
        if override.ban:
            room[position] = 0
        elif override.max_copies is not None:
            room[position] = max(0, min(room[position], override.max_copies - integers[position, 6]))
    return np.asarray(room)


@dataclass(frozen=True, slots=True)
class Placement:
    """What is common to all placements of one decision: which servers are open, and pairs that are not."""

    open_servers: Booleans
    costs: Floats
    failed_pairs: dict[int, list[int]]


def placement_of(snapshot: Snapshot, columns: Columns, configuration: Configuration) -> Placement:
    """Servers open for any launch now, their costs, and the (chute, server) pairs that failed lately."""
    floats = columns.server_floats
    limits = configuration.placement
    healthy = ~columns.server_blocked & (floats[:, 2] <= snapshot.now)
    awake = floats[:, 1] > snapshot.now + limits.maintenance_margin_seconds
    costs = floats[:, 0]
    mask = healthy & awake
    if configuration.servers:
        costs, mask = costs.copy(), mask.copy()
        for j, server in enumerate(snapshot.servers):
            override = configuration.servers.get(server.name)
            if override is not None:
                mask[j] &= not override.ban
                costs[j] = costs[j] if override.hourly_cost_usd is None else override.hourly_cost_usd
    failed: dict[int, list[int]] = {}
    for failure in snapshot.failures:
        chute = columns.chute_index.get(failure.chute_id)
        row = columns.server_index.get(failure.server_id)
        if chute is not None and row is not None and failure.until > snapshot.now:
            failed.setdefault(chute, []).append(row)
    return Placement(mask, costs, failed)


def fitting_servers(columns: Columns, placement: Placement, chute: int, configuration: Configuration) -> Booleans:
    """Servers that may hold a copy of this chute, free GPUs, starts and disk not looked at yet."""
    integers, row = columns.server_integers, columns.chute_integers[chute]
    typed = (row[1] >> np.maximum(integers[:, 0], 0)) & 1 == 1
    fits = placement.open_servers & typed & (integers[:, 3] == row[5]) & (integers[:, 4] == row[3])
    if row[5]:
        machine = integers[:, 5]
        if configuration.placement.require_known_vm_version:
            fits = fits & (machine >= 0)
        if row[4] >= NEW_RUNTIME:
            fits = fits & (machine >= NEW_VIRTUAL_MACHINE)
    for j in placement.failed_pairs.get(chute, ()):
        fits[j] = False
    if configuration.servers or configuration.chutes:
        view = columns.chutes[chute]
        for j, server in enumerate(columns.servers):
            fits[j] &= not is_reserved(view, server, configuration)
    return np.asarray(fits)


def is_reserved(chute: ChuteView, server: ServerView, configuration: Configuration) -> bool:
    """Whether the operator keeps this server for other chutes or this chute for other servers."""
    of_server, of_chute = configuration.servers.get(server.name), configuration.chutes.get(chute.id)
    kept = of_server is not None and bool(of_server.reserve_for) and chute.id not in of_server.reserve_for
    pinned = of_chute is not None and bool(of_chute.pin_to) and server.name not in of_chute.pin_to
    return kept or pinned


def _is_machine_too_old(chute: ChuteView, server: ServerView, configuration: Configuration) -> bool:
    machine = version_code(server.vm_version)
    if configuration.placement.require_known_vm_version and machine < 0:
        return True
    return version_code(chute.runtime_version) >= NEW_RUNTIME and machine < NEW_VIRTUAL_MACHINE


def server_obstacles(
    snapshot: Snapshot, chute: ChuteView, server: ServerView, configuration: Configuration, disk_gb: int | None = None
) -> tuple[ServerObstacle, ...]:
    """Every reason why this chute is not started on this server now."""
    limits, now = configuration.placement, snapshot.now
    override = configuration.servers.get(server.name)
    failed = any(f.chute_id == chute.id and f.server_id == server.id and f.until > now for f in snapshot.failures)
    starts_at = float("inf") if server.maintenance_at is None else server.maintenance_at
    checks = {
        ServerObstacle.LOCKED: server.locked,
        ServerObstacle.UNHEALTHY: not server.healthy,
        ServerObstacle.WRONG_TYPE: server.gpu_type not in chute.gpu_types,
        ServerObstacle.WRONG_TEE: server.tee != chute.tee,
        ServerObstacle.WRONG_VALIDATOR: server.validator != chute.validator,
        ServerObstacle.NO_GPUS: server.free < chute.gpu_count,
        ServerObstacle.MAINTENANCE: starts_at <= now + limits.maintenance_margin_seconds,
        ServerObstacle.QUARANTINED: server.quarantine_until > now,
        ServerObstacle.FAILED_LATELY: failed,
        ServerObstacle.STARTS: server.starts_in_progress >= limits.starts_per_server,
        ServerObstacle.DISK: server.disk_free_gb < (disk_gb or limits.default_disk_gb),
        ServerObstacle.VM_OLD: server.tee and _is_machine_too_old(chute, server, configuration),
        ServerObstacle.RESERVED: is_reserved(chute, server, configuration) or (override is not None and override.ban),
    }
    return tuple(reason for reason, holds in checks.items() if holds)

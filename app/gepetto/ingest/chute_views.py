"""One chute as a decision sees it: the validator's record, its latest demand, a bounty, and our own copies. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from app.gepetto.world.views import ChuteView
from app.protocol.chutes import ChuteRecord, Utilization
from app.protocol.wire import version_tuple


@dataclass(frozen=True, slots=True)
class Bounty:
    """What an event said of a chute's bounty, until the next list says otherwise."""

    multiplier: float | None
    boost: float | None
    heard_at: float


@dataclass(frozen=True, slots=True)
class Counts:
    """Copies of one chute: ours that are active, ours on their way, everybody's and other miners' that are active."""

    active: int
    pending: int
    everywhere: int
    others: int


@dataclass(frozen=True, slots=True)
class _Demand:
    """What a validator wants of a chute. A chute without a line in its list has no limits that we know of."""

    live: int
    scalable: bool = True
    updating: bool = False
    allowance: int | None = None
    target: int | None = None
    utilization: float = 0.0
    rate_limit: float = 0.0


def _demand(usage: Utilization | None, counts: Counts) -> _Demand:
    if usage is None:
        return _Demand(live=counts.everywhere)
    live = usage.total_instance_count
    return _Demand(
        live=counts.everywhere if live is None else live,
        scalable=usage.scalable is not False,
        updating=usage.update_in_progress is True,
        allowance=usage.scale_allowance,
        target=None if live is None else usage.target_count,  # without a count a target says nothing
        utilization=max(usage.utilization_5m or 0.0, usage.utilization_15m or 0.0),
        rate_limit=usage.rate_limit_ratio_5m or 0.0,
    )


def _boost(record: ChuteRecord, bounty: Bounty | None) -> float:
    """Factor of the bounty in the multiplier: an event's word before the list's; 1 without a bounty."""
    if bounty is not None and bounty.boost:
        return bounty.boost
    factors = record.compute_multiplier_factors or {}
    listed = factors.get("bounty_boost") or factors.get("bounty")
    return float(listed) if isinstance(listed, int | float) else 1.0


def _multiplier(record: ChuteRecord, bounty: Bounty | None) -> float:
    """Multiplier of a new copy now; 1 where nobody says."""
    if bounty is not None and bounty.multiplier is not None:
        return bounty.multiplier
    return 1.0 if record.effective_compute_multiplier is None else record.effective_compute_multiplier


def chute_view(
    validator: str, record: ChuteRecord, usage: Utilization | None, bounty: Bounty | None, counts: Counts
) -> ChuteView:
    """The view, bans and refusals apart."""
    demand, boost, multiplier = _demand(usage, counts), _boost(record, bounty), _multiplier(record, bounty)
    return ChuteView(
        id=record.chute_id,
        version=record.version,
        name=record.name or "",
        validator=validator,
        gpu_count=record.gpu_count,
        gpu_types=frozenset(record.gpu_refs),
        tee=record.tee,
        public=record.public is not False,
        preemptible=record.preemptible,
        has_cords=record.has_cords,
        is_cpu=record.is_cpu_only,
        disabled=record.disabled,
        scalable=demand.scalable,
        update_in_progress=demand.updating,
        image=record.image,
        runtime_version=version_tuple(record.chutes_version),
        m_eff=multiplier,
        m_target=multiplier / boost if boost else multiplier,
        bounty_boost=boost,
        bounty=bounty is not None or bool(record.bounty),
        allowance=demand.allowance,
        target=demand.target,
        live=demand.live,
        utilization=demand.utilization,
        rate_limit=demand.rate_limit,
        max_instances=record.max_instances,
        my_active=counts.active,
        my_pending=counts.pending,
        global_active=counts.everywhere,
        others_active=counts.others,
    )

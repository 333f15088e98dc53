"""Every number that steers Gepetto, typed, bounded and explained (spec: gepetto 3, 24.2, 26). Data only.

Validator constants are uncertain (spec: gepetto 26), so they stand here and nowhere as literals.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StrategyName(StrEnum):
    UPSTREAM_COMPAT = "upstream_compat"
    GREEDY_VALUE = "greedy_value"
    SHADOW_PRICE = "shadow_price"
    MATCHING = "matching"
    CONSERVATIVE = "conservative"


class ChuteOverride(_Frozen):
    """An operator's word about one chute."""

    ban: bool = False
    max_copies: int | None = Field(default=None, ge=0)
    weight: float = Field(default=1.0, gt=0, description="factor on the chute's value")
    pin_to: frozenset[str] = Field(default=frozenset(), description="server names it may run on; empty: any")


class ServerOverride(_Frozen):
    """An operator's word about one server, by name."""

    ban: bool = False
    reserve_for: frozenset[str] = Field(default=frozenset(), description="chute ids that alone may use it; empty: any")
    hourly_cost_usd: float | None = Field(default=None, ge=0)


class ValueConfiguration(_Frozen):
    """How a launch is valued (spec: gepetto 21, 22)."""

    warmup_pay_factor: float = Field(default=0.3, ge=0, le=1, description="share of the rate paid before activation")
    public_lifetime_seconds: float = Field(default=6 * 3600, gt=0)
    private_lifetime_seconds: float = Field(default=2 * 3600, gt=0)
    success_rate: float = Field(default=0.9, gt=0, le=1)
    cost_weight_per_usd: float = Field(
        default=0.0, ge=0, description="income given up to save one dollar; 0: sunk cost"
    )
    cached_start_factor: float = Field(default=0.4, gt=0, le=1, description="start time with a cached model")


class PlacementConfiguration(_Frozen):
    """Where copies may go (spec: gepetto 10.1, 22.4, 24.9)."""

    launches_per_decision: int = Field(default=128, ge=1)
    starts_per_server: int = Field(default=2, ge=1, description="pulls and downloads at once on one server")
    default_disk_gb: int = Field(default=10, ge=1)
    require_known_vm_version: bool = Field(default=True, description="hold TEE launches until the VM version is known")
    maintenance_margin_seconds: float = Field(default=3900, ge=0)
    reserve_whole_servers: int = Field(
        default=0, ge=0, description="free servers kept for large chutes near their target"
    )
    reserve_load: float = Field(
        default=0.8, ge=0, le=1, description="utilisation from which a large chute counts as near"
    )


class SwapConfiguration(_Frozen):
    """Preemption (spec: gepetto 11, 22.6)."""

    enabled: bool = True
    minimum_age_seconds: float = Field(default=63 * 60, ge=3600)
    horizon_seconds: float = Field(default=6 * 3600, gt=0)
    shutdown_seconds: float = Field(default=180, ge=0)
    refill_share: float = Field(
        default=0.7,
        ge=0,
        le=1,
        description="share of the victims' income that their GPUs earn again after the new copy",
    )
    margin: float = Field(default=0.1, ge=0, description="gain wanted, as a share of what the victims would earn")
    per_decision: int = Field(default=2, ge=0)
    considered: int = Field(default=12, ge=1, description="chutes looked at per decision, best first")


class SafetyConfiguration(_Frozen):
    """What no strategy may do (spec: gepetto 24.1, 24.10)."""

    destructive_share: float = Field(default=0.02, ge=0, le=1)
    destructive_window_seconds: float = Field(default=600, gt=0)
    destructive_minimum: int = Field(default=1, ge=0, description="allowed per window whatever the share")
    servers_per_window: int = Field(default=1, ge=0)
    breaker_share: float = Field(
        default=0.1, gt=0, le=1, description="one pass that would end more than this is refused"
    )
    breaker_minimum: int = Field(default=3, ge=1, description="passes that end fewer than this never trip it")
    fresh_seconds: float = Field(default=180, gt=0, description="age from which a source is stale")
    sightings: int = Field(default=2, ge=1)
    grace_seconds: float = Field(default=300, ge=0, description="younger rows and objects are left alone")
    stub_seconds: float = Field(default=1800, ge=60)
    pending_seconds: float = Field(default=3.5 * 3600, ge=600, description="a start that takes longer is given up")
    approved_until: float = Field(default=0.0, description="operator's approval to go beyond the budget, epoch seconds")
    allow_unsafe: bool = Field(default=False, description="strategies may end unpaid copies; jobs stay protected")

    def most_endings(self, active: int) -> int:
        """How many copies may be ended in one window, of so many active ones."""
        return max(self.destructive_minimum, int(active * self.destructive_share))


class WarmUpConfiguration(_Frozen):
    """Pulling models and images ahead of need."""

    enabled: bool = True
    gigabytes_per_hour: float = Field(default=200.0, ge=0, description="download budget of the whole fleet")
    per_decision: int = Field(default=2, ge=0)
    assumed_gigabytes: float = Field(default=15.0, gt=0, description="size of an image whose size nobody told")
    on_tee: bool = Field(default=False, description="also on confidential machines, whose admission may refuse it")
    minimum_disk_free_gb: float = Field(default=100.0, ge=0)
    interval_seconds: float = Field(default=60.0, gt=0)


class Configuration(_Frozen):
    """Gepetto's configuration. Precedence of sources: environment < file < overrides in the file."""

    strategy: StrategyName = StrategyName.SHADOW_PRICE
    value: ValueConfiguration = ValueConfiguration()
    placement: PlacementConfiguration = PlacementConfiguration()
    swap: SwapConfiguration = SwapConfiguration()
    safety: SafetyConfiguration = SafetyConfiguration()
    warm_up: WarmUpConfiguration = WarmUpConfiguration()
    chutes: Mapping[str, ChuteOverride] = Field(default_factory=dict)
    servers: Mapping[str, ServerOverride] = Field(default_factory=dict)

"""Simulated fleets and markets: presets, drawn from a seed (spec: gepetto 25.2). Every number here is made up.

The shapes follow what is publicly known of the subnet (spec: gepetto 21.3, 21.7, 21.10); rates are ours and stand here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np

from app.protocol.gpus import GPU_MODELS

TEE_FACTOR: Final = 2.25
PRIVATE_FACTOR: Final = 1.3
HOUR: Final = 3600.0


class Preset(StrEnum):
    LIVE_LIKE = "live_like"
    MIXED = "mixed"
    LARGE_HEAVY = "large_heavy"
    BOUNTY_STORM = "bounty_storm"
    ROLLING_WAVE = "rolling_wave"
    VALIDATOR_OUTAGE = "validator_outage"
    AGENT_FLAP = "agent_flap"
    SERVER_LOSS = "server_loss"
    REFUSAL_STORM = "refusal_storm"


@dataclass(frozen=True)
class ChuteModel:
    """One simulated chute. Demand is in copies' worth of work; a private chute wakes `bounties_per_hour` times."""

    id: str
    gpu_count: int
    gpu_types: tuple[str, ...]
    public: bool
    base: float
    mean_load: float
    swing: float
    phase: float
    revenue_boost: float
    bounties_per_hour: float
    busy_hours: float
    start_seconds: float
    model_gb: float


@dataclass(frozen=True)
class ServerModel:
    id: str
    gpu_type: str
    gpus: int
    hourly_cost: float
    failure_rate: float


@dataclass(frozen=True)
class Market:
    """Constants of the simulated validator and of the other miners (spec: gepetto 14.5, 21; uncertain ones in 26)."""

    soft_seconds: float = 120.0
    full_seconds: float = 1200.0
    utilization_threshold: float = 0.5
    growth_per_run: int = 5
    competitor_seconds: float = 1500.0
    competitor_bounty_seconds: float = 420.0
    warmup_pay: float = 0.3
    failure_per_hour: float = 0.004
    launch_failure: float = 0.05
    private_minimum_age: float = 600.0
    shutdown_seconds: float = 60.0


@dataclass(frozen=True)
class Disturbance:
    """Something that goes wrong: `kind` from `start` to `end` seconds, on a share of the servers or chutes."""

    kind: str
    start: float
    end: float
    share: float = 1.0


@dataclass(frozen=True)
class Scenario:
    """Everything that a run needs; equal scenarios give equal runs."""

    preset: Preset
    seed: int
    seconds: float
    servers: tuple[ServerModel, ...]
    chutes: tuple[ChuteModel, ...]
    market: Market = field(default_factory=Market)
    disturbances: tuple[Disturbance, ...] = ()

    @property
    def gpus(self) -> int:
        return sum(server.gpus for server in self.servers)


@dataclass(frozen=True)
class _Shape:
    """Shares that tell presets apart."""

    public: float
    large: float
    types: tuple[tuple[str, float], ...]
    bounties_per_hour: float
    demand_per_gpu: float


_LIVE: Final = (("pro_6000", 0.9), ("h200", 0.07), ("b200", 0.03))
_MIX: Final = (("pro_6000", 0.5), ("h200", 0.3), ("b200", 0.2))
_SHAPES: Final = {
    Preset.LIVE_LIKE: _Shape(0.06, 0.03, _LIVE, 0.06, 1.6),
    Preset.MIXED: _Shape(0.5, 0.15, _MIX, 0.05, 1.6),
    Preset.LARGE_HEAVY: _Shape(0.5, 0.5, _MIX, 0.05, 1.8),
    Preset.BOUNTY_STORM: _Shape(0.06, 0.03, _LIVE, 0.3, 1.2),
}


def build(preset: Preset, seed: int, *, gpus: int = 50, chutes: int | None = None, hours: float = 24.0) -> Scenario:
    """A scenario of that preset: same arguments, same scenario."""
    shape = _SHAPES.get(preset, _SHAPES[Preset.MIXED if preset is Preset.ROLLING_WAVE else Preset.LIVE_LIKE])
    rng = np.random.default_rng([seed, list(Preset).index(preset)])
    count = chutes if chutes is not None else 4 * gpus
    return Scenario(
        preset=preset,
        seed=seed,
        seconds=hours * HOUR,
        servers=_servers(rng, shape, gpus),
        chutes=_chutes(rng, shape, gpus, count),
        disturbances=_disturbances(preset, hours * HOUR),
    )


def _servers(rng: np.random.Generator, shape: _Shape, gpus: int) -> tuple[ServerModel, ...]:
    names, shares = zip(*shape.types, strict=True)
    found: list[ServerModel] = []
    left = gpus
    while left > 0:
        size = 8 if left >= 8 else left
        # Every type that chutes ask for is there once the fleet has room for it; the rest is drawn.
        kind = names[len(found)] if len(found) < len(names) and gpus >= 24 else str(rng.choice(names, p=shares))
        cost = float(np.round(GPU_MODELS[kind].rate_usd_per_hour * rng.uniform(0.6, 1.0), 2))
        flaky = 0.25 if rng.random() < 0.05 else 0.0
        found.append(ServerModel(f"s{len(found):04}", kind, size, cost, flaky))
        left -= size
    return tuple(found)


def _chutes(rng: np.random.Generator, shape: _Shape, gpus: int, count: int) -> tuple[ChuteModel, ...]:
    names, shares = zip(*shape.types, strict=True)
    public = np.zeros(count, dtype=bool)
    public[: max(3, round(shape.public * count))] = True
    rng.shuffle(public)
    weights = rng.pareto(1.5, count) + 0.3
    weights *= shape.demand_per_gpu * gpus / float(weights[public].sum())
    found = []
    for i in range(count):
        size = int(rng.choice([4, 8]) if rng.random() < shape.large else rng.choice([1, 1, 1, 2]))
        first = str(rng.choice(names, p=shares))
        kinds = {first} | ({str(rng.choice(names))} if rng.random() < 0.3 else set())
        ratio = min(GPU_MODELS[kind].compute_multiplier for kind in kinds)
        base = size * ratio * TEE_FACTOR * (1.0 if public[i] else PRIVATE_FACTOR)
        found.append(
            ChuteModel(
                id=f"c{i:04}",
                gpu_count=size,
                gpu_types=tuple(sorted(kinds)),
                public=bool(public[i]),
                base=float(base),
                mean_load=float(weights[i] / size * 0.45),
                swing=float(rng.uniform(0.1, 0.6)),
                phase=float(rng.uniform(0, 2 * np.pi)),
                revenue_boost=float(min(0.75, rng.exponential(0.12))),
                bounties_per_hour=0.0 if public[i] else float(shape.bounties_per_hour * rng.exponential(1.0)),
                busy_hours=float(rng.uniform(0.7, 3.0)),
                start_seconds=float(rng.lognormal(np.log(280), 0.5) * (1 + 0.15 * size)),
                model_gb=float(rng.lognormal(np.log(40), 0.7) * size),
            )
        )
    return tuple(found)


def _disturbances(preset: Preset, seconds: float) -> tuple[Disturbance, ...]:
    third = seconds / 3
    match preset:
        case Preset.ROLLING_WAVE:
            return (Disturbance("rolling", third, third + 4 * HOUR, 0.5),)
        case Preset.VALIDATOR_OUTAGE:
            return (Disturbance("outage", third, third + 1 * HOUR),)
        case Preset.AGENT_FLAP:
            starts = np.arange(HOUR, seconds, 2 * HOUR)
            return tuple(Disturbance("flap", float(at), float(at) + 600, 0.3) for at in starts)
        case Preset.SERVER_LOSS:
            return (Disturbance("server", third, third + 6 * HOUR, 0.2),)
        case Preset.REFUSAL_STORM:
            return (Disturbance("refusals", third, 2 * third, 0.5),)
        case _:
            return ()

"""What each model of GPU is asked for, and how long it may take. Sizes are chosen; times are to be measured.

No GPU was measured yet: `MEASURED_BANDS` is empty, and a verdict says of every model that its times were not judged.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from app.protocol.gpus import match_device_name
from graval.bands import TimeBand
from graval.session import DeviceDescription, WorkParameters

INNER: Final = 4096
TILE_ROWS: Final = 16
FILL_SHARE_PERCENT: Final = 95
#: A prover that skips 5 % of the tiles of a phase passes with 0.14 % (spec graval 4.7).
ADMISSION_TILES: Final = 128
#: SHA-256 compressions for each cell, so that making labels is 60 times slower than reading them (spec graval 4.4);
#: estimates from data sheets, to be replaced by measurements.
CHAIN_LENGTHS: Final[Mapping[str, int]] = MappingProxyType(
    {"a100_sxm": 9, "4090": 36, "l40s": 46, "l4": 44, "h100_sxm": 8, "h200": 6, "b200": 4}
)
#: For a model without an estimate: the mean of those above would let slow-memory cards remake what they do not hold.
CAUTIOUS_CHAIN_LENGTH: Final = 46


class PhaseName(StrEnum):
    """Phases whose duration the verifier takes by its own clock."""

    DENSE = "dense"
    FILL = "fill"
    BANDWIDTH = "bandwidth"
    COMPUTE = "compute"
    CHASE = "chase"


PhaseBands = Mapping[PhaseName, TimeBand]
#: By short reference; filled from the first runs on hardware (docs/graval-results.md).
MEASURED_BANDS: Final[Mapping[str, PhaseBands]] = MappingProxyType({})


@dataclass(frozen=True)
class SweepPlan:
    """One sweep phase: width, rounds, and how many tiles are opened of all of them."""

    columns: int
    rounds: int
    tiles: int


@dataclass(frozen=True)
class AdmissionPlan:
    """Everything that is asked of one device at its admission (spec graval 4.10)."""

    parameters: WorkParameters
    dense_inner: int
    dense_rows: int
    bandwidth: SweepPlan
    compute: SweepPlan
    chase_groups: int
    chase_steps: int
    chase_openings: int
    #: Empty where nobody has measured: then times are reported and not judged.
    bands: PhaseBands = field(default_factory=lambda: MappingProxyType({}))


def description_problem(device: DeviceDescription) -> str | None:
    """Why a description cannot be of the model that its name says (spec graval 2.5); None for an unknown name.

    Descriptions are self-reported: this catches mistakes and lazy cheats, the proof does the rest.
    """
    model = match_device_name(device.name)
    if model is None:
        return None
    if device.processors != model.multiprocessors:
        return f"{device.processors} processors, a {model.short_ref} has {model.multiprocessors}"
    if not model.accepts_memory(device.memory):
        return f"{device.memory / 1e9:.1f} GB of memory, a {model.short_ref} has {model.memory_gb}"
    if not model.accepts_clock(device.clock_rate / 1000):
        boost = model.clock_boost_mhz
        return f"{device.clock_rate / 1000:.0f} MHz, a {model.short_ref} has {model.clock_base_mhz} to {boost}"
    return None


def admission_plan(device: DeviceDescription) -> AdmissionPlan:
    """The whole proof: 95 % of the device's memory, by the model that its name says."""
    model = match_device_name(device.name)
    short_ref = model.short_ref if model is not None else ""
    rows = device.memory * FILL_SHARE_PERCENT // 100 // INNER // TILE_ROWS * TILE_ROWS
    return AdmissionPlan(
        parameters=WorkParameters(
            inner=INNER,
            columns=1024,
            chain_length=CHAIN_LENGTHS.get(short_ref, CAUTIOUS_CHAIN_LENGTH),
            rows=rows,
            rounds=200,
            tile_rows=TILE_ROWS,
            lanes=256,
        ),
        dense_inner=8192,
        dense_rows=8,
        bandwidth=SweepPlan(columns=16, rounds=200, tiles=ADMISSION_TILES),
        compute=SweepPlan(columns=1024, rounds=100, tiles=ADMISSION_TILES),
        chase_groups=8,
        chase_steps=1 << 20,
        chase_openings=4,
        bands=MEASURED_BANDS.get(short_ref, MappingProxyType({})),
    )


def small_plan(rows: int = 256, inner: int = 256) -> AdmissionPlan:
    """The same phases at a size that NumPy does in a moment: for labs with simulated devices. It proves no GPU."""
    return AdmissionPlan(
        parameters=WorkParameters(
            inner=inner, columns=32, chain_length=2, rows=rows, rounds=2, tile_rows=TILE_ROWS, lanes=16
        ),
        dense_inner=128,
        dense_rows=2,
        bandwidth=SweepPlan(columns=8, rounds=2, tiles=4),
        compute=SweepPlan(columns=32, rounds=2, tiles=4),
        chase_groups=2,
        chase_steps=64,
        chase_openings=4,
    )

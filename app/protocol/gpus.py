"""The GPU catalogue: what validators expect of each model (spec: infra 14, snapshot of October 2025).

Seed data only: the live truth is a validator's `GET /nodes/supported`, and rates move. Decide no cost from this table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

#: The highest nominal rate; compute multipliers are rates divided by it.
PRICE_BASIS_USD_PER_HOUR: Final = 4.5


@dataclass(frozen=True)
class GpuModel:
    """One GPU model as validators describe it. Memory is nominal, in decimal gigabytes; clocks are in MHz."""

    short_ref: str
    name_pattern: str
    memory_gb: int
    compute_capability: tuple[int, int] | None
    is_sxm: bool | None
    multiprocessors: int
    clock_base_mhz: int
    clock_boost_mhz: int
    max_threads_per_processor: int
    has_ecc: bool | None
    rate_usd_per_hour: float
    graval_iterations: int
    graval_estimate_seconds: int
    enabled: bool = True

    @property
    def compute_multiplier(self) -> float:
        """Rate as a share of the highest rate, the weight of one such GPU in a chute's compute multiplier."""
        return self.rate_usd_per_hour / PRICE_BASIS_USD_PER_HOUR

    def accepts_memory(self, memory_bytes: int) -> bool:
        """Whether a device's reported memory passes the validator's band for this model."""
        return self.memory_gb - 1 <= memory_bytes / 1e9 <= self.memory_gb * 1.0737 + 1

    def accepts_clock(self, clock_mhz: float) -> bool:
        """Whether a device's reported clock passes the validator's band for this model."""
        return self.clock_base_mhz <= clock_mhz <= self.clock_boost_mhz * 1.1


# The order is the order of matching: the first pattern found in a device's name wins ("A40" is also in "RTX A4000").
_MODELS: Final = (
    GpuModel("3090", r"RTX 3090", 24, (8, 6), False, 82, 1395, 1695, 1536, False, 0.25, 1, 70),
    GpuModel("4090", r"RTX 4090", 24, (8, 9), False, 128, 2235, 2520, 1536, False, 0.4, 2, 65),
    GpuModel("5090", r"RTX 5090", 32, (12, 0), False, 170, 2017, 2407, 1536, False, 0.7, 2, 60),
    GpuModel("a4000", r"RTX A4000(?! Ada)", 16, (8, 6), False, 48, 765, 1560, 1536, True, 0.2, 1, 75),
    GpuModel("a4000_ada", r"RTX 4000 Ada", 20, (8, 9), False, 48, 765, 2175, 1536, True, 0.21, 1, 80),
    GpuModel("a5000", r"RTX A5000", 24, (8, 6), False, 64, 1170, 1695, 1536, False, 0.25, 1, 92),
    GpuModel("a6000", r"RTX A6000(?! Ada)", 48, (8, 6), False, 84, 1455, 1860, 1536, True, 0.5, 1, 140),
    GpuModel("a6000_ada", r"RTX 6000 Ada", 48, (8, 9), False, 142, 915, 2505, 1536, True, 0.75, 1, 60),
    GpuModel("pro_6000", r"RTX PRO 6000", 96, None, None, 188, 1590, 2617, 1024, None, 1.8, 1, 103),
    GpuModel("l4", r"L4(?!0)", 24, (8, 9), False, 58, 795, 2040, 1536, True, 0.25, 1, 85),
    GpuModel("a10", r"A10(?!0)(?!G)", 24, (8, 6), False, 72, 1110, 1710, 1536, True, 0.25, 1, 82),
    GpuModel("a40", r"A40", 48, (8, 6), False, 84, 1305, 1740, 1536, True, 0.5, 1, 142),
    GpuModel("l40", r"L40(?!S)", 48, (8, 9), False, 142, 735, 2490, 1536, True, 0.55, 1, 60),
    GpuModel("l40s", r"L40S", 48, (8, 9), False, 142, 1065, 2520, 1536, True, 0.85, 1, 60),
    GpuModel("a100_40gb", r"A100.?PCIE.?40GB", 40, (8, 0), False, 108, 1065, 1410, 2048, True, 1.1, 4, 60),
    GpuModel("a100_40gb_sxm", r"A100.?SXM.?.?40GB", 40, (8, 0), True, 108, 1065, 1410, 2048, True, 1.15, 4, 60),
    GpuModel("a100", r"A100.?80GB.?PCIe", 80, (8, 0), False, 108, 1065, 1410, 2048, True, 1.2, 2, 58),
    GpuModel("a100_sxm", r"A100.?SXM.?.?80GB", 80, (8, 0), True, 108, 1275, 1410, 2048, True, 1.25, 3, 70),
    GpuModel("h100", r"H100.*PCIe", 80, (9, 0), False, 114, 1095, 1755, 2048, True, 1.79, 2, 62),
    GpuModel("h100_nvl", r"H100.*NVL", 96, (9, 0), True, 132, 1590, 1980, 2048, True, 2.25, 3, 75),
    GpuModel("h100_sxm", r"H100.*HBM3", 80, (9, 0), True, 132, 1590, 1980, 2048, True, 2.35, 5, 70),
    GpuModel("h800", r"H800.*PCIe", 80, (9, 0), False, 114, 1095, 1755, 2048, True, 1.5, 3, 75),
    GpuModel("h20", r" H20$", 96, None, None, 78, 1590, 1980, 1024, None, 0.6, 1, 300),
    GpuModel("h200", r" H200", 140, (9, 0), True, 132, 1590, 1980, 2048, True, 2.75, 3, 70),
    GpuModel("mi300x", r"gfx942:sramecc", 192, None, None, 304, 1600, 2100, 256, None, 3.0, 2, 75, enabled=False),
    GpuModel("b200", r" B200", 192, None, None, 148, 1590, 1965, 1024, None, 4.5, 2, 75),
)

#: Every known model by its short reference, in matching order.
GPU_MODELS: Final[Mapping[str, GpuModel]] = MappingProxyType({model.short_ref: model for model in _MODELS})


def match_device_name(name: str) -> GpuModel | None:
    """The model that a validator takes an NVIDIA device name for, or None for a name that it does not know."""
    return next((model for model in _MODELS if re.search(model.name_pattern, name)), None)

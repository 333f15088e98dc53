"""Acceptance of phase times by the verifier's own clock. Medians come from calibration, not data sheets."""

from dataclasses import dataclass
from typing import Final

#: Until a fleet's spread is known (spec graval 4.10). Too fast is as suspicious as too slow.
INITIAL_LOWER: Final = 0.8
INITIAL_UPPER: Final = 1.25


@dataclass(frozen=True)
class TimeBand:
    """Accepted durations of one phase on one model of GPU, around its calibrated median."""

    median_seconds: float
    lower: float = INITIAL_LOWER
    upper: float = INITIAL_UPPER

    def __post_init__(self) -> None:
        """Raises ValueError for a band that is empty or does not hold its median."""
        if not (self.median_seconds > 0 and 0 < self.lower <= 1 <= self.upper):
            raise ValueError(f"band of {self.lower} to {self.upper} times {self.median_seconds} s is none")

    def accepts(self, elapsed_seconds: float) -> bool:
        """Whether a phase that took so long is plausible for the model."""
        return self.lower * self.median_seconds <= elapsed_seconds <= self.upper * self.median_seconds

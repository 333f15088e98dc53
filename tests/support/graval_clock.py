"""A simulated clock for cheating provers on an H100: a model made of the scheme's own estimates, not of measurements.

It shows which cheats the bands are meant to catch if the estimates hold (spec: graval 4.4 to 4.6, 4.11).
"""

from dataclasses import dataclass
from enum import Enum

from graval.bands import TimeBand

FILL_BYTES = 76e9
LABEL_BYTES_PER_SECOND = 48e9
SWEEP_SECONDS = 0.027
LOCAL_STEP_SECONDS = 1.2e-6
LANES = 256


class Elsewhere(Enum):
    """Where a cheat takes the missing share from: bytes per second, and seconds that a step waits for it."""

    RECOMPUTED = (LABEL_BYTES_PER_SECOND, 12e-6)
    HOST_MEMORY = (55e9, 2.2e-6)
    IDLE_PEER_GPU = (450e9, 1.5e-6)


@dataclass(frozen=True)
class Elapsed:
    """What the verifier's clock would show: one bandwidth sweep and one chase step."""

    sweep_seconds: float
    step_seconds: float

    def flags(self) -> set[str]:
        """Phases whose time leaves the initial band."""
        sweep, step = TimeBand(SWEEP_SECONDS), TimeBand(LOCAL_STEP_SECONDS)
        flagged = {"sweep"} if not sweep.accepts(self.sweep_seconds) else set()
        return flagged | ({"chase"} if not step.accepts(self.step_seconds) else set())


def cheat_time(missing: float, source: Elsewhere) -> Elapsed:
    """Times of a prover that keeps all but the share `missing` and overlaps fetching with the sweep."""
    rate, wait = source.value
    hit = 1 - (1 - missing) ** LANES
    return Elapsed(
        sweep_seconds=max(SWEEP_SECONDS, missing * FILL_BYTES / rate),
        step_seconds=(1 - hit) * LOCAL_STEP_SECONDS + hit * max(wait, LOCAL_STEP_SECONDS),
    )


def shared_time(taken: float) -> Elapsed:
    """Times of a prover whose GPU gives the share `taken` of its bandwidth and latency to someone else."""
    return Elapsed(SWEEP_SECONDS / (1 - taken), LOCAL_STEP_SECONDS / (1 - taken))

"""A measured quantity on a GPU: how it is repeated, and what its rate is beside the card's data sheet."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Protocol, Self

from graval.cuda.library import Device


@dataclass(frozen=True)
class Measurement:
    """One quantity: median and spread in seconds over the repeats, and its rate where it has one."""

    name: str
    seconds: float
    spread: float
    rate: float | None = None
    unit: str = ""
    share: float | None = None
    """Of the rate that the data sheet promises."""
    times: float | None = None
    """What an honest prover takes for the same, for a cheat."""

    def beside(self, honest_seconds: float) -> Self:
        """The same, as a cheat's, with how many times as long as an honest prover's it is."""
        return replace(self, times=self.seconds / honest_seconds if honest_seconds > 0 else None)


class Scale(Protocol):
    """How seconds become a rate."""

    unit: str
    sheet: float | None

    def rate(self, seconds: float) -> float:
        """In the scale's unit; seconds are more than zero."""


@dataclass
class Amount:
    """Operations or bytes of one run, and how many 10^12 a second the data sheet promises."""

    count: int
    unit: str
    sheet: float | None = None

    def rate(self, seconds: float) -> float:
        """In 10^12 a second."""
        return self.count / seconds / 1e12


@dataclass
class Steps:
    """Steps of one run that wait for one another."""

    count: int
    unit: str = "ns a step"
    sheet: float | None = None

    def rate(self, seconds: float) -> float:
        """Latency of one step in nanoseconds."""
        return seconds / self.count * 1e9


def clocked(device: Device, timing: str, work: Callable[[], object]) -> Callable[[], float]:
    """Do the work; answer with the seconds that the device took for it."""

    def run() -> float:
        work()
        seconds: float = getattr(device.timings(), timing)
        return seconds

    return run


def measured(name: str, run: Callable[[], float], repeats: int, scale: Scale) -> Measurement:
    """Repeat; before more than one run comes one that is not counted, because it loads code and takes memory."""
    if repeats > 1:
        run()
    seconds = [run() for _ in range(repeats)]
    middle, spread = median(seconds), max(seconds) - min(seconds)
    if middle <= 0:
        return Measurement(name, middle, spread)
    rate = scale.rate(middle)
    return Measurement(name, middle, spread, rate, scale.unit, rate / scale.sheet if scale.sheet else None)

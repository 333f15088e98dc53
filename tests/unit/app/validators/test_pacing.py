"""Waiting: the token bucket and the pauses of the feed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.validators.feed import End, Waits
from app.validators.limiter import TokenBucket


class Time:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


async def test_a_burst_passes_and_then_the_rate_holds() -> None:
    time = Time()
    bucket = TokenBucket(10, 3, monotonic=time.monotonic, sleep=time.sleep)
    for _ in range(13):
        await bucket.take()
    assert round(time.now, 6) == 1.0
    assert len(time.slept) == 10


async def test_an_idle_bucket_fills_up_to_its_burst_only() -> None:
    time = Time()
    bucket = TokenBucket(10, 2, monotonic=time.monotonic, sleep=time.sleep)
    time.now = 1000.0
    for _ in range(3):
        await bucket.take()
    assert len(time.slept) == 1


@given(st.sampled_from(list(End)), st.integers(0, 500), st.floats(0, 1, exclude_max=True))
def test_pauses_grow_stay_bounded_and_respect_a_refusal(end: End, failures: int, jitter: float) -> None:
    pause = Waits().next(end, failures, jitter)
    assert 0.5 <= pause <= 60
    assert pause >= 30 or end is not End.REFUSED

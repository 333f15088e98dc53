"""The scenario that every fleet of the lab plays: a chute is announced, runs, and a request to it is answered.

Speaks to the SIMULATED validator over its `/lab` routes alone: it serves the embedded fleet and the lab's hosts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

_POLL_SECONDS: Final = 0.5


class NotInTimeError(RuntimeError):
    """What was waited for did not come; the message says what was last seen."""


@dataclass
class Timeline:
    """What happened when, in seconds since its start.

    Args:
        clock: monotonic seconds.
        say: told each line as it comes.
    """

    clock: Callable[[], float] = time.monotonic
    say: Callable[[str], None] = print
    lines: list[tuple[float, str]] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)
    started: float | None = None

    def note(self, what: str) -> None:
        """Write one line."""
        now = self.clock()
        self.started = now if self.started is None else self.started
        self.lines.append((now - self.started, what))
        self.say(f"{now - self.started:7.1f} s  {what}")

    def report(self, what: str, first: str, then: str) -> None:
        """Say how long it took from one line to another, each found by words of it, and keep that among `figures`.

        Raises:
            LookupError: one of the lines is not there.
        """
        self.figures.append(f"{what}: {self.seconds_of(then) - self.seconds_of(first):.1f} s")
        self.say(self.figures[-1])

    def seconds_of(self, what: str) -> float:
        """When a line was written. Raises LookupError where none has these words."""
        for seconds, line in self.lines:
            if what in line:
                return seconds
        raise LookupError(f"no line of the timeline says {what!r}")


class Market:
    """The SIMULATED validator, driven as its operators and users would.

    Args:
        url: its address.
    """

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=30.0, trust_env=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def state(self) -> dict[str, Any]:
        """Everything that it knows."""
        answer = await self._http.get("/lab/state")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    async def log(self) -> dict[str, Any]:
        """What it was asked, the last requests first to be forgotten."""
        answer = await self._http.get("/lab/log", params={"limit": 5000})
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    async def play(self, scenario: str, chute_id: str | None = None) -> None:
        """Play one of its scenarios, on the chute that is named or the one that it chooses."""
        named = {} if chute_id is None else {"chute_id": chute_id}
        (await self._http.post(f"/lab/scenarios/{scenario}", params=named)).raise_for_status()

    async def infer(self, chute_id: str) -> dict[str, Any]:
        """Send a request to an active instance of a chute; the answer with the chute's own in it.

        Raises:
            httpx.HTTPStatusError: no instance is active, or it could not be reached.
        """
        answer = await self._http.post(f"/lab/inference/{chute_id}", json={"prompt": "is anybody there?"})
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    async def wait(self, what: str, found: Callable[[dict[str, Any]], Any], seconds: float) -> Any:
        """Wait until the validator's state has something; what that is.

        Raises:
            NotInTimeError: it did not come.
        """
        deadline, seen = time.monotonic() + seconds, {}
        while time.monotonic() < deadline:
            seen = await self.state()
            if result := found(seen):
                return result
            await asyncio.sleep(_POLL_SECONDS)
        counts = {name: len(items) for name, items in seen.items() if isinstance(items, dict | list)}
        raise NotInTimeError(f"{what} did not come in {seconds:.0f} s; the validator's state has {counts}")


def active_instances(state: dict[str, Any]) -> list[dict[str, Any]]:
    """Instances that may take requests, oldest first."""
    found = [item for item in state["instances"].values() if item["active"]]
    return sorted(found, key=lambda item: str(item["activated_at"]))


async def first_inference(market: Market, timeline: Timeline, seconds: float) -> dict[str, Any]:
    """From announced chutes to an answered request; the active instance that answered.

    Raises:
        NotInTimeError: no instance became active in time, or none answered.
    """
    instance: dict[str, Any] = (await market.wait("an active instance", active_instances, seconds))[0]
    timeline.note(f"instance {instance['instance_id'][:8]} of chute {instance['chute_id'][:8]} is active")
    answer = await answered(market, instance["chute_id"], seconds)
    timeline.note(f"request answered: {answer['answer']}")
    return instance


async def answered(market: Market, chute_id: str, seconds: float) -> dict[str, Any]:
    """Ask until a chute's active instance answers: what it answered.

    An instance activates itself; its node port leads to it once its cluster has probed it, some 15 s after its start.

    Raises:
        NotInTimeError: it did not in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await market.infer(chute_id)
        except httpx.HTTPStatusError as error:
            if time.monotonic() > deadline:
                raise NotInTimeError(
                    f"no request was answered in {seconds:.0f} s: {error.response.text[:300]}"
                ) from None
            await asyncio.sleep(_POLL_SECONDS)


async def serve_first(url: str, timeline: Timeline, seconds: float) -> None:
    """`first_inference` at a validator's address.

    Raises:
        NotInTimeError: no instance became active in time, or none answered.
    """
    market = Market(url)
    try:
        await first_inference(market, timeline, seconds)
    except httpx.HTTPError as error:
        raise NotInTimeError(f"the request was not answered: {error}") from error
    finally:
        await market.close()

"""Faults for tests: a transport that loses requests or their answers, and wall time that can be moved."""

from __future__ import annotations

import random
import time

import httpx


class FaultyTransport(httpx.AsyncBaseTransport):
    """Loses a share of all requests: half of them before they are sent, half of them when the answer comes back."""

    def __init__(self, dice: random.Random, share: float) -> None:
        self.share = share
        self.lost = 0
        self._dice = dice
        self._real = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        roll = self._dice.random()
        if roll < self.share / 2:
            self.lost += 1
            raise httpx.ConnectError("injected: not sent")
        response = await self._real.handle_async_request(request)
        if roll < self.share:
            self.lost += 1
            await response.aclose()
            raise httpx.ReadError("injected: answer lost")
        return response

    async def aclose(self) -> None:
        await self._real.aclose()


class MovableClock:
    """Wall time plus an offset in seconds."""

    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset


class StandingClock(MovableClock):
    """The wall time of its making plus an offset: however slow the machine, only the test moves it."""

    def __init__(self) -> None:
        super().__init__()
        self._made = time.time()

    def __call__(self) -> float:
        return self._made + self.offset

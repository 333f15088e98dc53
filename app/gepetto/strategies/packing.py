"""What an order of chutes would earn on the free GPUs, counted without naming servers. Pure.

Servers of one type with as many free GPUs are alike here, so a thousand chutes are laid out in milliseconds; what a
single server forbids is not seen. So this chooses between orders and places nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wish:
    """So many copies of so many GPUs each, of types by their numbers in order of choice, at an income per GPU-hour."""

    gpus: int
    types: tuple[int, ...]
    copies: int
    rate: float


@dataclass(frozen=True, slots=True)
class Layout:
    """Income per hour of all that fits, and whether a chute of several GPUs found no server while GPUs stayed free."""

    income: float
    splinters: bool


def lay_out(wishes: Iterable[Wish], servers: Iterable[tuple[int, int]], types: int) -> Layout:
    """Serve wishes in their order, each where it fits tightest.

    Args:
        wishes: what is wanted, first choice first.
        servers: type and free GPUs of each open server.
        types: how many GPU types there are.
    """
    known = list(servers)
    most = max((free for _, free in known), default=0)
    shelves = [[0] * (most + 1) for _ in range(types)]
    for kind, free in known:
        shelves[kind][free] += 1
    income, unserved = 0.0, 0
    for wish in wishes:
        left = wish.copies
        for kind in wish.types:
            if left:
                left -= _place(shelves[kind], wish.gpus, left)
        income += (wish.copies - left) * wish.gpus * wish.rate
        unserved |= left and wish.gpus > 1
    return Layout(income, bool(unserved) and any(sum(shelf[1:]) for shelf in shelves))


def _place(shelf: list[int], gpus: int, copies: int) -> int:
    """Put up to so many copies on servers, those with the fewest free GPUs first; how many found a place.

    `shelf[n]` is how many servers have n free GPUs.
    """
    placed = 0
    for free in range(gpus, len(shelf)):
        fit = free // gpus
        count = min(copies - placed, shelf[free] * fit)
        if count:
            full, rest = divmod(count, fit)
            shelf[free] -= full + (rest > 0)
            shelf[free - fit * gpus] += full
            shelf[free - rest * gpus] += rest > 0
            placed += count
    return placed

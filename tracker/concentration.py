"""Who holds the seats: concentration by coldkey (spec: tracker 5.5). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Concentration:
    """How unevenly something is held. HHI is 1 for one holder and 1/n for n equal ones; Gini is 0 for equal ones."""

    holders: int
    largest_share: float
    hhi: float
    gini: float


def concentration(amounts: Iterable[float]) -> Concentration:
    """Concentration of amounts, one per holder; all zero where there is nothing."""
    held = sorted(amount for amount in amounts if amount > 0)
    total = sum(held)
    if not held or total == 0:
        return Concentration(0, 0.0, 0.0, 0.0)
    shares = [amount / total for amount in held]
    count = len(shares)
    ranked = sum(place * share for place, share in enumerate(shares, start=1))
    gini = (2 * ranked - (count + 1)) / count
    return Concentration(count, shares[-1], sum(share * share for share in shares), max(0.0, gini))


def by_holder(owners: Sequence[str], amounts: Sequence[float]) -> dict[str, float]:
    """Amounts added up by owner."""
    result: dict[str, float] = {}
    for owner, amount in zip(owners, amounts, strict=True):
        result[owner] = result.get(owner, 0.0) + amount
    return result

"""Which subnet is pushed out next: the chain's pruning order of whole subnets (spec: users-and-peers 4.1). Pure.

A subnet is pruned only when a new one is registered and all places are taken: the lowest moving price goes, the older
one of two equals; root and subnets in their immunity stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracker.model import ROOT_NETUID


@dataclass(frozen=True)
class SubnetStanding:
    """What the pruning of whole subnets looks at. The price is the moving alpha price in TAO."""

    netuid: int
    registered_at: int
    price_tao: float


@dataclass(frozen=True)
class SubnetStandings:
    """All subnets at one block, how long a new one is immune, and how many places there are."""

    block: int
    spec_version: int
    immunity_blocks: int
    limit: int
    subnets: tuple[SubnetStanding, ...]

    @property
    def free_places(self) -> int:
        """Subnets that can come before one must go; root takes no place."""
        return max(0, self.limit - sum(one.netuid != ROOT_NETUID for one in self.subnets))


@dataclass(frozen=True)
class SubnetRisk:
    """How close a subnet is to being pruned.

    Args:
        position: 1 is next; None while it is immune, and for root.
        margin: its moving price over that of the next to go; None where that is zero.
        immune_blocks: blocks until its immunity ends; 0 if it has.
        free_places: subnets that can come before any must go.
    """

    netuid: int
    position: int | None
    of: int
    price_tao: float
    margin: float | None
    immune_blocks: int
    free_places: int


def subnet_pruning_order(
    subnets: Sequence[SubnetStanding], block: int, immunity_blocks: int
) -> tuple[list[SubnetStanding], list[SubnetStanding]]:
    """Subnets in the order in which a new one would push them out, and those that are still immune."""
    candidates = [one for one in subnets if one.netuid != ROOT_NETUID]
    immune = [one for one in candidates if block < one.registered_at + immunity_blocks]
    free = [one for one in candidates if block >= one.registered_at + immunity_blocks]
    return sorted(free, key=lambda one: (one.price_tao, one.registered_at)), immune


def subnet_risk_of(standings: SubnetStandings, netuid: int) -> SubnetRisk | None:
    """The risk of one subnet; None if there is no such subnet."""
    mine = next((one for one in standings.subnets if one.netuid == netuid), None)
    if mine is None:
        return None
    order, _ = subnet_pruning_order(standings.subnets, standings.block, standings.immunity_blocks)
    weakest = order[0].price_tao if order else 0.0
    position = next((place for place, one in enumerate(order, start=1) if one.netuid == netuid), None)
    immune = 0 if netuid == ROOT_NETUID else mine.registered_at + standings.immunity_blocks - standings.block
    return SubnetRisk(
        netuid=netuid,
        position=position,
        of=len(order),
        price_tao=mine.price_tao,
        margin=mine.price_tao / weakest if weakest and position is not None else None,
        immune_blocks=max(0, immune),
        free_places=standings.free_places,
    )

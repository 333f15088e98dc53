"""Who is pushed out next: the chain's own pruning order of one subnet's neurons (spec: users-and-peers 4.1).

Pure. The order changed with the runtime; it is only claimed for the spec versions whose rule is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tracker.model import BLOCKS_PER_DAY, Snapshot

#: The rule by emission, then registration, then uid stands in the chain's source since this version; before it, a
#: pruning score decided, and for those versions no order is claimed.
FIRST_KNOWN_SPEC_VERSION: Final = 400
#: Immune uids are pruned only when fewer than so many others are left; the chain's default where a runtime has no item.
MINIMUM_FREE_UIDS: Final = 10


@dataclass(frozen=True)
class Neuron:
    """What pruning looks at, and whether it validates. Emission is alpha of the last epoch, in rao."""

    uid: int
    hotkey: str
    emission_rao: int
    registered: int
    is_owner: bool = False
    is_validator: bool = False


@dataclass(frozen=True)
class Standing:
    """One subnet at one block: its neurons, its settings, and the moving price of its alpha in TAO."""

    netuid: int
    block: int
    spec_version: int
    immunity_blocks: int
    max_uids: int
    burn_rao: int
    neurons: tuple[Neuron, ...]
    minimum_free_uids: int = MINIMUM_FREE_UIDS
    tempo_blocks: int = 360
    price_tao: float = 0.0


@dataclass(frozen=True)
class Risk:
    """How close a neuron is to being replaced.

    Args:
        position: 1 is next; None for the owner's neuron, which is never replaced, and where the runtime's rule is not
            known; then `of` is 0 and nothing is claimed about margin and days.
        margin: its emission over that of the next to go; None where that is zero.
        immune_blocks: blocks until its immunity ends; 0 if it has.
        free_seats: newcomers that take a free seat before anybody is replaced.
        days_left: at the given rate of registrations; None without a rate or without a position.
        reentry_rao: price of coming back now.
    """

    netuid: int
    uid: int
    hotkey: str
    position: int | None
    of: int
    margin: float | None
    immune_blocks: int
    free_seats: int
    days_left: float | None
    reentry_rao: int
    is_owner: bool = False


def is_order_known(spec_version: int) -> bool:
    """Whether this runtime's pruning rule is the one that is implemented here."""
    return spec_version >= FIRST_KNOWN_SPEC_VERSION


def pruning_order(standing: Standing) -> list[Neuron]:
    """Neurons in the order in which newcomers replace them, the owner's left out.

    Those out of immunity go first, but no further than to the minimum that must stay; then immune ones count as well.
    """
    free: list[Neuron] = []
    immune: list[Neuron] = []
    for neuron in standing.neurons:
        if not neuron.is_owner:
            is_immune = standing.block - neuron.registered < standing.immunity_blocks
            (immune if is_immune else free).append(neuron)
    free.sort(key=_weakness)
    immune.sort(key=_weakness)
    prunable = max(0, len(free) - standing.minimum_free_uids)
    return free[:prunable] + immune + free[prunable:]


def _weakness(neuron: Neuron) -> tuple[int, int, int]:
    return neuron.emission_rao, neuron.registered, neuron.uid


def seats_of(hotkeys: Iterable[str], taken: Snapshot) -> list[int]:
    """The subnets in which any of these hotkeys sits, by netuid."""
    mine = set(hotkeys)
    return sorted(netuid for netuid, subnet in taken.subnets.items() if mine & set(subnet.hotkeys.values()))


def risk_of(standing: Standing, hotkeys: Iterable[str], registrations_per_day: float | None = None) -> list[Risk]:
    """The risk of each of these hotkeys that sits in the subnet, most endangered first."""
    wanted = set(hotkeys)
    ordered = pruning_order(standing) if is_order_known(standing.spec_version) else []
    weakest = ordered[0].emission_rao if ordered else 0
    free_seats = max(0, standing.max_uids - len(standing.neurons))
    places = {neuron.uid: place for place, neuron in enumerate(ordered, start=1)}
    risks = []
    for neuron in standing.neurons:
        if neuron.hotkey not in wanted:
            continue
        place = places.get(neuron.uid)
        until_then = (
            None if place is None or not registrations_per_day else (free_seats + place) / registrations_per_day
        )
        immune = max(0, neuron.registered + standing.immunity_blocks - standing.block)
        risks.append(
            Risk(
                netuid=standing.netuid,
                uid=neuron.uid,
                hotkey=neuron.hotkey,
                position=place,
                of=len(ordered),
                margin=neuron.emission_rao / weakest if weakest and not neuron.is_owner else None,
                immune_blocks=immune,
                free_seats=free_seats,
                days_left=until_then if until_then is None else max(until_then, 0.0),
                reentry_rao=standing.burn_rao,
                is_owner=neuron.is_owner,
            )
        )
    return sorted(risks, key=lambda risk: (risk.position is None, risk.position or 0))


def registrations_per_day(counts: Mapping[int, int], blocks: int) -> dict[int, float]:
    """Rates by netuid from exact counts over a number of blocks."""
    return {netuid: count * BLOCKS_PER_DAY / blocks for netuid, count in counts.items()} if blocks else {}

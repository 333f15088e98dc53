"""What happened between two snapshots of one subnet (spec: tracker 5.1, 5.2). Pure.

Two countings stand side by side. The basic one compares hotkeys by uid, as the earlier tool did. The corrected one
tells occupancies apart by (hotkey, registration block), so that swaps and renumbering are no replacements. Both are
lower bounds of what truly happened: a seat that changed hands twice between two snapshots shows once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum

from tracker.model import Snapshot, Subnet


class Certainty(StrEnum):
    """How a figure is to be read."""

    EXACT = "exact"
    LOWER_BOUND = "lower bound"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Counts:
    """Changes of one subnet in one period.

    `replaced`, `deregistered` and `registered` are the basic counting; the rest is the corrected one and is zero where
    registration blocks are unknown (`corrected` is False then).
    """

    replaced: int = 0
    deregistered: int = 0
    registered: int = 0
    true_replaced: int = 0
    swapped: int = 0
    returned: int = 0
    renumbered: int = 0
    trimmed: int = 0
    appended: int = 0

    @property
    def changes(self) -> int:
        """All changes of the basic counting."""
        return self.replaced + self.deregistered + self.registered

    @property
    def true_registrations(self) -> int:
        """Registrations that the two snapshots prove; a lower bound."""
        return self.true_replaced + self.returned + self.appended

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{item.name: getattr(self, item.name) + getattr(other, item.name) for item in fields(Counts)})


def total(counts: Iterable[Counts]) -> Counts:
    """The sum of several periods."""
    result = Counts()
    for one in counts:
        result += one
    return result


def is_same_subnet(older: Subnet, newer: Subnet) -> bool:
    """Whether two entries of one netuid are the same subnet and not a number given out again."""
    if older.registered_at is not None and newer.registered_at is not None:
        return older.registered_at == newer.registered_at
    known = newer.registered_at
    return known is None or known <= older.block


def classify(older: Subnet, newer: Subnet) -> Counts:
    """Changes from `older` to `newer`, two states of the same subnet."""
    if older.hotkeys == newer.hotkeys and older.registered == newer.registered:
        return Counts()
    basic = _basic(older.hotkeys, newer.hotkeys)
    if not older.registered or not newer.registered:
        return basic
    return basic + _corrected(older, newer)


def _basic(older: Mapping[int, str], newer: Mapping[int, str]) -> Counts:
    common = older.keys() & newer.keys()
    return Counts(
        replaced=sum(older[uid] != newer[uid] for uid in common),
        deregistered=len(older) - len(common),
        registered=len(newer) - len(common),
    )


def _corrected(older: Subnet, newer: Subnet) -> Counts:
    before = _occupancies(older)
    after = _occupancies(newer)
    arrived = {key: uid for key, uid in after.items() if key not in before}
    left = {key: uid for key, uid in before.items() if key not in after}
    renumbered = sum(after[key] != uid for key, uid in before.items() if key in after)
    left_by_block: dict[tuple[int, int], str] = {(uid, block): hotkey for (hotkey, block), uid in left.items()}
    old_hotkeys = {hotkey for hotkey, _ in left}
    swapped = returned = replaced = appended = 0
    for (hotkey, block), uid in arrived.items():
        if (uid, block) in left_by_block:
            swapped += 1
        elif hotkey in old_hotkeys:
            returned += 1
        elif uid in older.hotkeys:
            replaced += 1
        else:
            appended += 1
    shrunk = max(0, older.count - newer.count)
    return Counts(
        true_replaced=replaced,
        swapped=swapped,
        returned=returned,
        renumbered=renumbered,
        trimmed=min(shrunk, len(left)),
        appended=appended,
    )


def _occupancies(subnet: Subnet) -> dict[tuple[str, int], int]:
    return {(hotkey, subnet.registered.get(uid, 0)): uid for uid, hotkey in subnet.hotkeys.items()}


@dataclass(frozen=True)
class SubnetPeriod:
    """One subnet between two consecutive snapshots in which it stands in both."""

    netuid: int
    registered_at: int | None
    blocks: int
    count_before: int
    count_after: int
    counts: Counts
    corrected: bool


@dataclass(frozen=True)
class Comparison:
    """Two snapshots of one network, the older first."""

    older: Snapshot
    newer: Snapshot
    periods: tuple[SubnetPeriod, ...]
    dissolved: tuple[int, ...]
    created: tuple[int, ...]

    @property
    def blocks(self) -> int:
        return self.newer.block - self.older.block


def compare(first: Snapshot, second: Snapshot) -> Comparison:
    """Compare two snapshots, given in either order.

    A number that was given out again counts as one subnet dissolved and one created; the uids of such subnets are
    nobody's deregistrations.

    Raises:
        ValueError: they are of two networks.
    """
    if first.network != second.network:
        raise ValueError(f"snapshots of two networks cannot be compared: {first.network} and {second.network}")
    older, newer = sorted((first, second), key=lambda snapshot: (snapshot.block, snapshot.timestamp))
    periods, dissolved, created = [], [], []
    for netuid in sorted(older.subnets.keys() | newer.subnets.keys()):
        before, after = older.subnets.get(netuid), newer.subnets.get(netuid)
        if before is not None and after is not None and is_same_subnet(before, after):
            periods.append(_period(before, after, newer.block - older.block))
            continue
        if before is not None:
            dissolved.append(netuid)
        if after is not None:
            created.append(netuid)
    return Comparison(older, newer, tuple(periods), tuple(dissolved), tuple(created))


def _period(before: Subnet, after: Subnet, blocks: int) -> SubnetPeriod:
    return SubnetPeriod(
        netuid=after.netuid,
        registered_at=after.registered_at if after.registered_at is not None else before.registered_at,
        blocks=blocks,
        count_before=before.count,
        count_after=after.count,
        counts=classify(before, after),
        corrected=bool(before.registered and after.registered),
    )

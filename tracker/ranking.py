"""Totals per subnet over many periods, and rankings by them (spec: tracker 5.1). Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tracker.classify import Certainty, Comparison, Counts, SubnetPeriod, compare
from tracker.errors import NotEnoughSnapshotsError
from tracker.model import BLOCKS_PER_DAY, ROOT_NETUID, Snapshot


class SortBy(StrEnum):
    """What a ranking is by, always descending; ties by netuid."""

    REPLACEMENTS = "replacements"
    PERCENTAGE = "percentage"
    DEREGISTRATIONS = "deregistrations"
    CHANGES = "changes"


@dataclass(frozen=True)
class SubnetTotals:
    """One subnet over the periods in which it stands in both snapshots.

    `mean_count` is the mean over periods of (count before + count after) / 2. Averages are per period; because runs
    are missed and periods differ, `per_day` gives rates as well.
    """

    netuid: int
    registered_at: int | None
    periods: int
    blocks: int
    mean_count: float
    counts: Counts
    corrected: bool
    exact_registrations: int | None = None

    @property
    def certainty(self) -> Certainty:
        """Counts from snapshots are lower bounds until a walk back has counted exactly."""
        if self.periods == 0:
            return Certainty.UNKNOWN
        return Certainty.LOWER_BOUND if self.exact_registrations is None else Certainty.EXACT

    @property
    def replacement_percentage(self) -> float:
        """Average replacements of a period as a share of the average number of uids, in percent."""
        if self.periods == 0 or self.mean_count == 0:
            return 0.0
        return 100 * self.average(self.counts.replaced) / self.mean_count

    def average(self, count: int) -> float:
        """Per period."""
        return count / self.periods if self.periods else 0.0

    def per_day(self, count: int) -> float:
        """Per day of 7,200 blocks."""
        return count * BLOCKS_PER_DAY / self.blocks if self.blocks else 0.0

    def value(self, by: SortBy) -> float:
        """What a ranking sorts by."""
        match by:
            case SortBy.PERCENTAGE:
                return self.replacement_percentage
            case SortBy.DEREGISTRATIONS:
                return self.average(self.counts.deregistered)
            case SortBy.CHANGES:
                return self.average(self.counts.changes)
            case SortBy.REPLACEMENTS:
                return self.average(self.counts.replaced)


@dataclass(frozen=True)
class Ranking:
    """Subnets in order, those with no comparable period last, and what came and went."""

    by: SortBy
    snapshots: int
    first_block: int
    last_block: int
    rows: tuple[SubnetTotals, ...]
    dissolved: tuple[tuple[int, int], ...] = ()
    created: tuple[tuple[int, int], ...] = ()


def totals_of(periods: Iterable[SubnetPeriod]) -> list[SubnetTotals]:
    """Add up the periods of each subnet, told apart by netuid and registration."""
    groups: dict[tuple[int, int | None], list[SubnetPeriod]] = {}
    for period in periods:
        groups.setdefault((period.netuid, period.registered_at), []).append(period)
    result = []
    for (netuid, registered_at), group in groups.items():
        counts = Counts()
        for period in group:
            counts += period.counts
        mean = sum(period.count_before + period.count_after for period in group) / (2 * len(group))
        corrected = all(period.corrected for period in group)
        blocks = sum(period.blocks for period in group)
        result.append(SubnetTotals(netuid, registered_at, len(group), blocks, mean, counts, corrected))
    return result


def order(rows: Iterable[SubnetTotals], by: SortBy, *, include_root: bool = False) -> tuple[SubnetTotals, ...]:
    """Rows in ranking order."""
    wanted = [row for row in rows if include_root or row.netuid != ROOT_NETUID]
    return tuple(sorted(wanted, key=lambda row: (row.periods == 0, -row.value(by), row.netuid, row.registered_at or 0)))


def rank_snapshots(snapshots: Sequence[Snapshot], by: SortBy, *, include_root: bool = False) -> Ranking:
    """Rank from snapshots in any order; the plain way, for files.

    Raises:
        NotEnoughSnapshotsError: fewer than two.
    """
    if len(snapshots) < 2:
        raise NotEnoughSnapshotsError(
            f"a ranking needs two snapshots at different blocks, found {len(snapshots)}: "
            "run `tracker snapshot` again later"
        )
    ordered = sorted(snapshots, key=lambda snapshot: (snapshot.timestamp, snapshot.block))
    comparisons = [compare(older, newer) for older, newer in itertools.pairwise(ordered)]
    rows = totals_of(period for comparison in comparisons for period in comparison.periods)
    seen = {(row.netuid, row.registered_at) for row in rows}
    last = ordered[-1]
    largest: dict[tuple[int, int | None], int] = {}
    for snapshot in ordered:
        for netuid, subnet in snapshot.subnets.items():
            key = (netuid, subnet.registered_at)
            if key not in seen:
                largest[key] = max(largest.get(key, 0), subnet.count)
    lonely = [SubnetTotals(*key, 0, 0, float(count), Counts(), corrected=False) for key, count in largest.items()]
    return Ranking(
        by=by,
        snapshots=len(ordered),
        first_block=ordered[0].block,
        last_block=last.block,
        rows=order([*rows, *lonely], by, include_root=include_root),
        dissolved=_moments(comparisons, "dissolved"),
        created=_moments(comparisons, "created"),
    )


def _moments(comparisons: Iterable[Comparison], name: str) -> tuple[tuple[int, int], ...]:
    """(netuid, block of the snapshot that first showed it) for subnets that went or came."""
    return tuple(
        (netuid, comparison.newer.block)
        for comparison in comparisons
        for netuid in (comparison.dissolved if name == "dissolved" else comparison.created)
    )

"""What a snapshot adds to the one before it, as rows of the store. Pure: it reads and writes no database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict

from tracker.classify import compare
from tracker.model import Snapshot, Subnet
from tracker.store import schema

#: By number of the subnet and uid: the address, and the block at which it registered where that is known.
Seats = dict[tuple[int, int], tuple[str, int | None]]


def seats_of(subnets: Iterable[Subnet], numbers: Mapping[int, int]) -> Seats:
    return {
        (numbers[entry.netuid], uid): (address, entry.registered.get(uid))
        for entry in subnets
        for uid, address in entry.hotkeys.items()
    }


def seat_changes(
    before: Seats, after: Seats, present: set[int]
) -> Iterable[tuple[tuple[int, int], str | None, int | None]]:
    """Seats that differ; a seat that is gone has no address. Subnets that are absent keep their last state."""
    for place, seat in after.items():
        if before.get(place) != seat:
            yield place, seat[0], seat[1]
    for place in before:
        if place not in after and place[0] in present:
            yield place, None, None


def subnet_rows(before: Snapshot | None, taken: Snapshot, numbers: Mapping[int, int]) -> list[dict[str, object]]:
    periods = {} if before is None else {period.netuid: period for period in compare(before, taken).periods}
    rows = []
    for netuid, entry in taken.subnets.items():
        period = periods.get(netuid)
        counts = dict.fromkeys(schema.COUNTS, 0) if period is None else asdict(period.counts)
        rows.append(
            {
                "subnet_id": numbers[netuid],
                "at_block": taken.block,
                "block": entry.block,
                "count": entry.count,
                "burn_rao": entry.burn_rao,
                "knows_registration": entry.registered_at is not None,
                "period_blocks": None if period is None else period.blocks,
                "count_before": None if period is None else period.count_before,
                "corrected": period is not None and period.corrected,
                **counts,
            }
        )
    return rows

"""What a seat costs against how contested it is, with dead subnets marked. Pure.

A subnet is called dead here when it is open, its price lies at the floor, and the snapshots of the range prove no
registration: nobody wants in, so a cheap seat says nothing about a good one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tracker.cost import SubnetCost
from tracker.ranking import SubnetTotals


@dataclass(frozen=True)
class Value:
    """One subnet's price beside its competition; rates are None where it was never compared.

    `registrations_per_day` is a lower bound. `days_bought` is how long a seat lasts on average if so many arrive a day
    and all seats are taken in turn: an upper bound, None where nobody arrives.
    """

    netuid: int
    name: str
    burn_rao: int | None
    changes_per_day: float | None
    registrations_per_day: float | None
    days_bought: float | None
    is_dead: bool


def values(costs: Iterable[SubnetCost], totals: Iterable[SubnetTotals]) -> list[Value]:
    """Costs joined with competition; living subnets first, cheapest per day of tenure first, then by netuid."""
    by_netuid = {row.netuid: row for row in sorted(totals, key=lambda row: row.registered_at or 0)}
    rows = [_value(cost, by_netuid.get(cost.netuid)) for cost in costs]
    return sorted(rows, key=_order)


def _value(cost: SubnetCost, row: SubnetTotals | None) -> Value:
    compared = row is not None and row.periods > 0
    changes = row.per_day(row.counts.changes) if row is not None and compared else None
    arrivals = row.per_day(row.counts.true_registrations) if row is not None and compared and row.corrected else None
    at_floor = cost.burn_rao is not None and cost.burn_rao <= cost.min_burn_rao
    return Value(
        netuid=cost.netuid,
        name=cost.name,
        burn_rao=cost.burn_rao,
        changes_per_day=changes,
        registrations_per_day=arrivals,
        days_bought=cost.max_uids / arrivals if arrivals else None,
        is_dead=cost.allowed and at_floor and arrivals == 0,
    )


def _order(value: Value) -> tuple[bool, bool, float, int]:
    if value.burn_rao is None or value.days_bought is None:
        return value.is_dead, True, float(value.burn_rao or 0), value.netuid
    return value.is_dead, False, value.burn_rao / value.days_bought, value.netuid

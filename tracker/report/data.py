"""Gathers what a report shows, from the store and, where a chain is at hand, from the chain. Draws nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from tracker.model import ROOT_NETUID, Snapshot
from tracker.ranking import Ranking, SortBy
from tracker.risk import Risk
from tracker.store.details import Churn, churn, lives, prices
from tracker.store.query import Range, rank
from tracker.store.store import Store
from tracker.subnet_risk import SubnetRisk
from tracker.tenure import Survival, survival
from tracker.watched import Watched

#: Columns of the churn map; fewer where there are fewer periods.
_MOST_SPANS = 42
#: Curves pass over ages at which fewer neurons were watched.
_LEAST_AT_RISK = 5


@dataclass(frozen=True)
class ReportData:
    """Everything on the page.

    Args:
        prices: (seconds since 1970, rao) by netuid, oldest first.
        price_now: rao by netuid in the newest snapshot, without root.
        risks: None where no chain was asked; `subnet_risks` are of their subnets.
        is_stale: whether the newest snapshot is older than two of the intervals between them.
        torn: whether the first or the last snapshot was read subnet by subnet.
    """

    network: str
    made_at: datetime
    first_time: datetime
    last_time: datetime
    neurons: int
    subnets: int
    ranking: Ranking
    churn: Churn
    prices: dict[int, list[tuple[float, int]]]
    price_now: dict[int, int]
    tenure: dict[int, Survival]
    risks: tuple[Risk, ...] | None
    subnet_risks: tuple[SubnetRisk, ...]
    is_stale: bool
    torn: bool


async def gather(
    engine: AsyncEngine, wanted: Range, *, now: datetime, lines: int = 8, watched: Watched | None = None
) -> ReportData:
    """The report of a range.

    Args:
        lines: subnets that get a price path and a tenure curve: those with the most changes.

    Raises:
        NotEnoughSnapshotsError: fewer than two snapshots.
    """
    ranking = await rank(engine, wanted, SortBy.CHANGES)
    store = Store(engine)
    first = await store.get(wanted.network, ranking.first_block)
    last = await store.get(wanted.network, ranking.last_block)
    top = [row.netuid for row in ranking.rows if row.periods][:lines]
    spans = min(_MOST_SPANS, ranking.snapshots - 1)
    interval = (last.timestamp - first.timestamp) / (ranking.snapshots - 1)
    return ReportData(
        network=wanted.network,
        made_at=now,
        first_time=first.timestamp,
        last_time=last.timestamp,
        neurons=last.count,
        subnets=len(last.subnets),
        ranking=ranking,
        churn=await churn(engine, wanted.network, ranking.first_block, ranking.last_block, spans),
        prices=await prices(engine, wanted.network, top),
        price_now=_price_now(last),
        tenure={netuid: survival(await lives(engine, wanted.network, netuid), _LEAST_AT_RISK) for netuid in top},
        risks=None if watched is None else watched.risks,
        subnet_risks=() if watched is None else watched.subnets,
        is_stale=now - last.timestamp > 2 * interval,
        torn=first.is_torn or last.is_torn,
    )


def _price_now(last: Snapshot) -> dict[int, int]:
    return {
        netuid: subnet.burn_rao
        for netuid, subnet in last.subnets.items()
        if netuid != ROOT_NETUID and subnet.burn_rao is not None
    }

"""Gathers what a report shows, from the store and, where a chain is at hand, from the chain. Draws nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from tracker.ranking import Ranking, SortBy
from tracker.risk import Risk
from tracker.store.details import Churn, churn, lives, prices
from tracker.store.query import Range, rank
from tracker.store.store import Store
from tracker.subnet_risk import SubnetRisk
from tracker.tenure import Survival, survival
from tracker.watched import Watched

#: Columns of the churn map; fewer where there are fewer periods.
_MOST_SPANS = 24
#: Curves pass over ages at which fewer neurons were watched.
_LEAST_AT_RISK = 5


@dataclass(frozen=True)
class ReportData:
    """Everything on the page. Prices are (block, rao) by netuid; `risks` is None where no chain was asked."""

    network: str
    made_at: datetime
    first_time: datetime
    last_time: datetime
    ranking: Ranking
    churn: Churn
    prices: dict[int, list[tuple[int, int]]]
    tenure: dict[int, Survival]
    risks: tuple[Risk, ...] | None
    subnet_risks: tuple[SubnetRisk, ...]
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
    return ReportData(
        network=wanted.network,
        made_at=now,
        first_time=first.timestamp,
        last_time=last.timestamp,
        ranking=ranking,
        churn=await churn(engine, wanted.network, ranking.first_block, ranking.last_block, spans),
        prices=await prices(engine, wanted.network, top),
        tenure={netuid: survival(await lives(engine, wanted.network, netuid), _LEAST_AT_RISK) for netuid in top},
        risks=None if watched is None else watched.risks,
        subnet_risks=() if watched is None else watched.subnets,
        torn=first.is_torn or last.is_torn,
    )

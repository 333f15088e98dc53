"""Commands about money: what a seat costs now, what it cost, and whether it is worth it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from tracker import cost as costs
from tracker import cost_table, show
from tracker.chain.connect import connect
from tracker.classify import Certainty
from tracker.cli.common import DEFAULTS, Common, err, network_of, open_store, out, print_json
from tracker.errors import ExitCode
from tracker.ranking import SortBy
from tracker.store.details import daily_prices
from tracker.store.query import Range, rank
from tracker.value import values

costs_app = App()


@costs_app.command
async def cost(
    netuid: Annotated[tuple[int, ...], Parameter(name=["netuid", "--netuid", "--netuids"], negative="")] = (),
    *,
    common: Common = DEFAULTS,
    csv: Annotated[Path | None, Parameter(name=["--csv", "--output-csv"])] = None,
    tao_price_usd: str | None = None,
) -> int:
    """What a registration costs now, in these subnets or in all.

    Args:
        netuid: subnets; none means all.
        csv: write a table here.
        tao_price_usd: dollars per TAO, to show prices in dollars, too.
    """
    if tao_price_usd is not None:
        costs.to_usd(0, tao_price_usd)
    async with connect(common.endpoint) as reader:
        found = await costs.read_costs(reader, netuid or None)
    if csv is not None:
        cost_table.write_csv(found.costs, csv)
    if common.json:
        print_json({"costs": [cost_table.as_json(one) for one in found.costs], "missing": list(found.missing)})
    else:
        out().print(show.cost_table(found.costs, tao_price_usd))
    for number in found.missing:
        err().print(f"no such subnet: {number}", style="yellow")
    return ExitCode.FAILED if found.missing else ExitCode.OK


@costs_app.command
async def value(*, common: Common = DEFAULTS, top: int = 0) -> int:
    """Price of a seat against how contested it is; dead subnets are marked and come last.

    Args:
        top: rows to show; 0 shows all.
    """
    settings = common.settings
    async with connect(common.endpoint) as reader:
        found = await costs.read_costs(reader)
    async with open_store(settings) as (engine, store):
        network = await network_of(store, settings, common.network)
        ranking = await rank(engine, Range(network), SortBy.CHANGES, include_root=True)
    rows = values(found.costs, ranking.rows)
    if common.json:
        print_json([asdict(row) | {"certainty": Certainty.LOWER_BOUND.value} for row in rows])
    else:
        out().print(show.value_table(rows[:top] if top else rows))
    return ExitCode.OK


@costs_app.command
async def prices(netuid: int, *, common: Common = DEFAULTS, days: int = 30) -> int:
    """What a seat cost, day by day, lowest and highest, as the snapshots of the store show it.

    Args:
        netuid: the subnet.
        days: so many days back from the newest snapshot; 0 shows all.
    """
    settings = common.settings
    async with open_store(settings) as (engine, store):
        network = await network_of(store, settings, common.network)
        found = await daily_prices(engine, network, netuid)
    rows = found[-days:] if days else found
    if common.json:
        print_json([asdict(row) | {"day": row.day.isoformat()} for row in rows])
    else:
        out().print(show.prices_table(netuid, rows))
    return ExitCode.OK if rows else ExitCode.NOT_ENOUGH_SNAPSHOTS

"""Tables for people and plain values for programs. Text from the chain is shown, never interpreted."""

from __future__ import annotations

from dataclasses import asdict

from rich.markup import escape
from rich.table import Table

from tracker.classify import Comparison
from tracker.cost import SubnetCost, format_tao, to_usd
from tracker.ranking import Ranking, SubnetTotals
from tracker.store.details import DayPrice
from tracker.tenure import days
from tracker.value import Value


def ranking_table(ranking: Ranking, top: int = 0) -> Table:
    """The ranking; `top` 0 shows all rows."""
    title = f"Competition by {ranking.by} · {ranking.snapshots} snapshots · blocks {ranking.first_block:,} to "
    table = Table(title=f"{title}{ranking.last_block:,}", caption=_caption(ranking))
    for name in ("#", "subnet", "periods", "uids"):
        table.add_column(name, justify="right")
    for name in ("replaced", "%", "left", "new", "changes", "per day", "registrations", "reading"):
        table.add_column(name, justify="right")
    rows = ranking.rows[:top] if top else ranking.rows
    for place, row in enumerate(rows, start=1):
        table.add_row(str(place), str(row.netuid), *_ranking_cells(row))
    return table


def _ranking_cells(row: SubnetTotals) -> list[str]:
    if row.periods == 0:
        return ["0", f"{row.mean_count:.0f}", *["-"] * 7, row.certainty.value]
    counts = row.counts
    proven = counts.true_registrations if row.exact_registrations is None else row.exact_registrations
    registrations = str(proven) if row.corrected or row.exact_registrations is not None else "-"
    return [
        str(row.periods),
        f"{row.mean_count:.0f}",
        f"{row.average(counts.replaced):.2f}",
        f"{row.replacement_percentage:.2f}",
        f"{row.average(counts.deregistered):.2f}",
        f"{row.average(counts.registered):.2f}",
        f"{row.average(counts.changes):.2f}",
        f"{row.per_day(counts.changes):.1f}",
        registrations,
        row.certainty.value,
    ]


def _caption(ranking: Ranking) -> str:
    gone = ", ".join(f"{netuid} by block {block:,}" for netuid, block in ranking.dissolved) or "none"
    came = ", ".join(f"{netuid} by block {block:,}" for netuid, block in ranking.created) or "none"
    return f"Averages are per period. Dissolved: {gone}. New: {came}."


def ranking_json(ranking: Ranking) -> dict[str, object]:
    """The ranking as plain values."""
    return {
        "sort_by": ranking.by.value,
        "snapshots": ranking.snapshots,
        "first_block": ranking.first_block,
        "last_block": ranking.last_block,
        "dissolved": [{"netuid": netuid, "seen_by_block": block} for netuid, block in ranking.dissolved],
        "created": [{"netuid": netuid, "seen_by_block": block} for netuid, block in ranking.created],
        "subnets": [_ranking_row(row) for row in ranking.rows],
    }


def _ranking_row(row: SubnetTotals) -> dict[str, object]:
    counts = row.counts
    usable = row.periods > 0
    return {
        "netuid": row.netuid,
        "registered_at": row.registered_at,
        "periods": row.periods,
        "blocks": row.blocks,
        "average_uids": row.mean_count,
        "average_replacements": row.average(counts.replaced) if usable else None,
        "average_deregistrations": row.average(counts.deregistered) if usable else None,
        "average_registrations": row.average(counts.registered) if usable else None,
        "average_changes": row.average(counts.changes) if usable else None,
        "replacement_percentage": row.replacement_percentage if usable else None,
        "changes_per_day": row.per_day(counts.changes) if usable else None,
        "totals": asdict(counts),
        "registrations_proven": counts.true_registrations if row.corrected else None,
        "registrations_exact": row.exact_registrations,
        "certainty": row.certainty.value,
    }


def comparison_table(comparison: Comparison, top: int = 0) -> Table:
    """Two snapshots side by side; subnets without a change are left out."""
    older, newer = comparison.older, comparison.newer
    table = Table(
        title=f"Block {older.block:,} ({older.timestamp:%Y-%m-%d %H:%M}) to {newer.block:,} "
        f"({newer.timestamp:%Y-%m-%d %H:%M}), {comparison.blocks:,} blocks",
        caption=f"Dissolved: {list(comparison.dissolved)}. New: {list(comparison.created)}. Counts are lower bounds.",
    )
    for name in ("subnet", "replaced", "left", "new", "true replaced", "swapped", "returned", "renumbered", "trimmed"):
        table.add_column(name, justify="right")
    changed = [period for period in comparison.periods if period.counts.changes or period.counts.returned]
    changed.sort(key=lambda period: (-period.counts.changes, period.netuid))
    for period in changed[:top] if top else changed:
        counts = period.counts
        corrected = (counts.true_replaced, counts.swapped, counts.returned, counts.renumbered, counts.trimmed)
        cells = [str(value) if period.corrected else "-" for value in corrected]
        basic = (counts.replaced, counts.deregistered, counts.registered)
        table.add_row(str(period.netuid), *(str(value) for value in basic), *cells)
    return table


def comparison_json(comparison: Comparison) -> dict[str, object]:
    """A comparison as plain values."""
    return {
        "older": {"block": comparison.older.block, "timestamp": comparison.older.timestamp.isoformat()},
        "newer": {"block": comparison.newer.block, "timestamp": comparison.newer.timestamp.isoformat()},
        "blocks": comparison.blocks,
        "certainty": "lower bound",
        "dissolved": list(comparison.dissolved),
        "created": list(comparison.created),
        "subnets": [
            {"netuid": period.netuid, "corrected": period.corrected, **asdict(period.counts)}
            for period in comparison.periods
        ],
    }


def cost_table(costs: tuple[SubnetCost, ...], tao_price_usd: str | None = None) -> Table:
    """Prices, cheapest first."""
    block = costs[0].block if costs else 0
    table = Table(title=f"Registration cost at block {block:,}")
    for name in ("subnet", "name", "price (TAO)", "locked", "open", "uids", "free", "immunity (h)"):
        table.add_column(name, justify="left" if name == "name" else "right")
    if tao_price_usd is not None:
        table.add_column(f"USD at {tao_price_usd}", justify="right")
    for cost in costs:
        cells = [
            str(cost.netuid),
            escape(f"{cost.symbol} {cost.name}"),
            format_tao(cost.burn_rao),
            format_tao(cost.locked_rao),
            "yes" if cost.allowed else "no",
            f"{cost.count}/{cost.max_uids}",
            str(cost.free_seats),
            f"{days(cost.immunity_blocks) * 24:.1f}",
        ]
        if tao_price_usd is not None:
            cells.append("-" if cost.burn_rao is None else f"{to_usd(cost.burn_rao, tao_price_usd):.4f}")
        table.add_row(*cells)
    return table


def value_table(rows: list[Value]) -> Table:
    """Price beside competition; dead subnets last and marked."""
    table = Table(title="Price against competition", caption="Arrivals are lower bounds, days bought upper bounds.")
    for name in ("subnet", "name", "price (TAO)", "changes a day", "arrivals a day", "days bought", ""):
        table.add_column(name, justify="left" if name == "name" else "right")
    for row in rows:
        rates = (row.changes_per_day, row.registrations_per_day, row.days_bought)
        cells = ["-" if rate is None else f"{rate:.1f}" for rate in rates]
        mark = "dead" if row.is_dead else ""
        table.add_row(str(row.netuid), escape(row.name), format_tao(row.burn_rao), *cells, mark)
    return table


def prices_table(netuid: int, rows: list[DayPrice]) -> Table:
    """A price path by day."""
    table = Table(title=f"Price of a seat in subnet {netuid}, TAO", caption="From snapshots; a day is 7,200 blocks.")
    for name in ("day", "blocks", "lowest", "highest"):
        table.add_column(name, justify="right")
    for row in rows:
        blocks = f"{row.first_block:,} to {row.last_block:,}"
        table.add_row(f"{row.day:%Y-%m-%d %H:%M}", blocks, format_tao(row.lowest_rao), format_tao(row.highest_rao))
    return table

"""One self-contained HTML page: no script, no outside resource, readable on a phone. Text from the chain is escaped."""

from __future__ import annotations

from html import escape
from typing import Final

from tracker.cost import format_tao
from tracker.model import RAO_PER_TAO
from tracker.ranking import SubnetTotals
from tracker.report.data import ReportData
from tracker.report.svg import Axis, heat_map, lines
from tracker.risk import Risk
from tracker.tenure import days

_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1c1c1c;--paper:#fff;--soft:#6b6b6b;--line:#ddd}
@media(prefers-color-scheme:dark){:root{--ink:#eee;--paper:#161616;--soft:#a5a5a5;--line:#333}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1100px;padding:1rem;font:16px/1.5 system-ui,sans-serif;color:var(--ink);
background:var(--paper)}
h1{font-size:1.5rem;margin:.2em 0}h2{font-size:1.15rem;margin:1.6em 0 .4em}
p,figcaption{color:var(--soft);margin:.3em 0}figure{margin:0}
svg{width:100%;height:auto;display:block;font-size:11px}svg text{fill:currentColor}.grid{stroke:var(--line)}
.scroll{overflow-x:auto}code{white-space:nowrap}
@media(max-width:600px){svg{font-size:17px}}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.9rem}
th,td{padding:.3em .6em;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
.warn{border-left:4px solid #d55e00;padding-left:.8em}
"""
_HEAT_ROWS: Final = 40


def render(data: ReportData) -> str:
    """The page's text."""
    sections = [
        _head(data),
        _risk_section(data.risks),
        _ranking_section(data),
        _churn_section(data),
        _price_section(data),
        _tenure_section(data),
        _reading_section(data),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Subnet competition on {escape(data.network)}</title><style>{_STYLE}</style></head>"
        f"<body>{''.join(sections)}</body></html>\n"
    )


def _head(data: ReportData) -> str:
    ranking = data.ranking
    return (
        f"<h1>Subnet competition on {escape(data.network)}</h1>"
        f"<p>{ranking.snapshots} snapshots, blocks {ranking.first_block:,} to {ranking.last_block:,} "
        f"({data.first_time:%Y-%m-%d %H:%M} to {data.last_time:%Y-%m-%d %H:%M} UTC). "
        f"Made {data.made_at:%Y-%m-%d %H:%M} UTC.</p>"
    )


def _risk_section(risks: tuple[Risk, ...] | None) -> str:
    if risks is None:
        return ""
    title = '<h2 id="risk">My neurons at risk</h2>'
    if not risks:
        return f"{title}<p>None of the watched hotkeys holds a seat.</p>"
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td>{escape(cell)}</td>"
            for cell in (
                str(risk.netuid),
                str(risk.uid),
                f"{risk.hotkey[:6]}…{risk.hotkey[-4:]}",
                "never (owner)" if risk.position is None else f"{risk.position} of {risk.of}",
                "-" if risk.margin is None else f"{risk.margin:.1f}x",
                f"{days(risk.immune_blocks) * 24:.1f}",
                "-" if risk.days_left is None else f"{risk.days_left:.1f}",
                f"{format_tao(risk.reentry_rao)}",
            )
        )
        + "</tr>"
        for risk in risks
    )
    return title + _table(
        ("subnet", "uid", "hotkey", "next out", "margin", "immune, hours", "days left", "re-entry, TAO"), rows
    )


def _table(names: tuple[str, ...], rows: str) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _ranking_section(data: ReportData) -> str:
    rows = "".join(_ranking_row(place, row) for place, row in enumerate(data.ranking.rows, start=1))
    names = (
        "#",
        "subnet",
        "uids",
        "replaced",
        "% a period",
        "left",
        "new",
        "changes a day",
        "registrations",
        "reading",
    )
    gone = ", ".join(str(netuid) for netuid, _ in data.ranking.dissolved) or "none"
    came = ", ".join(str(netuid) for netuid, _ in data.ranking.created) or "none"
    note = f"<p>Averages are per period between snapshots. Dissolved: {gone}. New: {came}.</p>"
    return f'<h2 id="ranking">Ranking by changes</h2>{note}{_table(names, rows)}'


def _ranking_row(place: int, row: SubnetTotals) -> str:
    counts = row.counts
    if row.periods == 0:
        cells = [str(place), str(row.netuid), f"{row.mean_count:.0f}", *["-"] * 6, row.certainty.value]
    else:
        cells = [
            str(place),
            str(row.netuid),
            f"{row.mean_count:.0f}",
            f"{row.average(counts.replaced):.2f}",
            f"{row.replacement_percentage:.2f}",
            f"{row.average(counts.deregistered):.2f}",
            f"{row.average(counts.registered):.2f}",
            f"{row.per_day(counts.changes):.1f}",
            f"≥ {counts.true_registrations}" if row.corrected else "-",
            row.certainty.value,
        ]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _churn_section(data: ReportData) -> str:
    churn = data.churn
    busiest = sorted(churn.rows, key=lambda netuid: (-sum(churn.rows[netuid]), netuid))[:_HEAT_ROWS]
    spans = len(next(iter(churn.rows.values()), ()))
    names = [f"block {churn.first_block + index * churn.span_blocks:,}" for index in range(spans)]
    drawing = heat_map({f"{netuid}": churn.rows[netuid] for netuid in busiest}, names) if spans else ""
    note = (
        f"Registrations proven by snapshots, each cell {days(churn.span_blocks) * 24:.1f} hours; the busiest subnets."
    )
    return f'<h2 id="churn">Churn</h2><figure>{drawing}<figcaption>{note}</figcaption></figure>'


def _price_section(data: ReportData) -> str:
    series = {
        f"subnet {netuid}": [(float(block), rao / RAO_PER_TAO) for block, rao in path if rao > 0]
        for netuid, path in data.prices.items()
    }
    series = {name: points for name, points in series.items() if points}
    title = '<h2 id="prices">Price of a seat</h2>'
    if not series:
        return f"{title}<p>The snapshots hold no prices.</p>"
    everything = [price for points in series.values() for _, price in points]
    across = Axis(float(data.ranking.first_block), float(data.ranking.last_block), "block")
    up = Axis(min(everything), max(*everything, min(everything) * 10), "TAO", logarithmic=True)
    return f"{title}<figure>{lines(series, across, up)}<figcaption>Logarithmic; at each snapshot.</figcaption></figure>"


def _tenure_section(data: ReportData) -> str:
    series = {}
    longest = 1.0
    for netuid, curve in data.tenure.items():
        if curve.ages:
            points = [(0.0, 100.0), *zip(map(days, curve.ages), (100 * share for share in curve.shares), strict=True)]
            series[f"subnet {netuid}"] = points
            longest = max(longest, points[-1][0])
    title = '<h2 id="tenure">How long neurons stay</h2>'
    if not series:
        return f"{title}<p>No neuron left while it was watched.</p>"
    drawing = lines(series, Axis(0, longest, "age in days"), Axis(0, 100, "% still there"), steps=True)
    note = "Kaplan-Meier, with late entry; neurons that are still there count as long as they were watched."
    return f"{title}<figure>{drawing}<figcaption>{note}</figcaption></figure>"


def _reading_section(data: ReportData) -> str:
    torn = (
        '<p class="warn">Some snapshots were read subnet by subnet at different blocks; changes may stand in the wrong '
        "period.</p>"
        if data.torn
        else ""
    )
    return (
        '<h2 id="reading">How to read this</h2>'
        "<p>Counts from snapshots are lower bounds: a seat that changed hands twice between two snapshots shows once. "
        "<code>tracker analyze --exact</code> counts every registration. A hotkey swap and a renumbering are no "
        f"registrations.</p>{torn}"
    )

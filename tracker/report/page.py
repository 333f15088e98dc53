"""One self-contained HTML page: no script, no outside resource, readable on a phone. Text from the chain is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from html import escape

from tracker.cost import format_tao
from tracker.model import RAO_PER_TAO, ROOT_NETUID
from tracker.report.data import ReportData
from tracker.report.style import STYLE
from tracker.report.svg import COLOURS, Axis, day_and_month, heat_map, hour_of_day, lines, thinned
from tracker.report.tables import ranking_section, risk_section
from tracker.tenure import days

_HEAT_ROWS = 24
_MARKS = 5


def render(data: ReportData) -> str:
    """The page's text."""
    body = (
        _head(data)
        + risk_section(data.risks, data.subnet_risks)
        + ranking_section(data)
        + _churn_section(data)
        + f'<div class="pair">{_price_section(data)}{_tenure_section(data)}</div>'
        + _reading_section()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Subnet competition on {escape(data.network)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def _head(data: ReportData) -> str:
    ranking = data.ranking
    return (
        f"<header><h1>Subnet competition on {escape(data.network)}</h1>"
        f"<p>{data.first_time:%-d %B %Y %H:%M} to {data.last_time:%-d %B %Y %H:%M} UTC · "
        f"{ranking.snapshots:,} snapshots, blocks {ranking.first_block:,} to {ranking.last_block:,}</p>"
        f"{_warnings(data)}{_facts(data)}</header>"
    )


def _warnings(data: ReportData) -> str:
    texts = []
    age = data.made_at - data.last_time
    if data.is_stale:
        texts.append(f"The newest snapshot is {_span(age)} old: these figures are stale. Run tracker snapshot.")
    if data.torn:
        texts.append(
            "Some snapshots were read subnet by subnet at different blocks; changes may stand in the wrong period."
        )
    return "".join(f'<p class="warn">{escape(text)}</p>' for text in texts)


def _span(age: timedelta) -> str:
    hours = age.total_seconds() / 3600
    return f"{hours / 24:,.0f} days" if hours >= 48 else f"{hours:.0f} hours"


def _facts(data: ReportData) -> str:
    compared = [row for row in data.ranking.rows if row.periods and row.corrected]
    a_day = sum(row.per_day(row.counts.true_registrations) for row in compared)
    busiest = max(compared, key=lambda row: row.per_day(row.counts.true_registrations), default=None)
    cheapest = min(((rao, netuid) for netuid, rao in data.price_now.items()), default=None)
    facts = [(f"{data.neurons:,}", f"neurons in {data.subnets} subnets")]
    facts.append((f"≥ {a_day:,.0f}" if compared else "-", "registrations a day, proven"))
    if busiest is not None:
        rate = busiest.per_day(busiest.counts.true_registrations)
        facts.append((f"Subnet {busiest.netuid}", f"most contested: ≥ {rate:,.0f} a day"))
    if cheapest is not None:
        facts.append((f"{format_tao(cheapest[0])} TAO", f"cheapest seat: subnet {cheapest[1]}"))
    cells = "".join(f'<div class="fact"><b>{escape(big)}</b><span>{escape(small)}</span></div>' for big, small in facts)
    return f'<div class="facts">{cells}</div>'


def _section(name: str, title: str, note: str, inner: str) -> str:
    return f'<section><h2 id="{name}">{title}</h2><p>{note}</p>{inner}</section>'


def _times(data: ReportData) -> tuple[float, float]:
    return data.first_time.timestamp(), data.last_time.timestamp()


def _time_form(data: ReportData, seconds: float) -> str:
    is_short = data.last_time - data.first_time < timedelta(days=4)
    return hour_of_day(seconds) if is_short else day_and_month(seconds)


def _churn_section(data: ReportData) -> str:
    churn = data.churn
    busiest = sorted(churn.rows, key=lambda netuid: (-sum(churn.rows[netuid]), netuid))
    busiest = [netuid for netuid in busiest if sum(churn.rows[netuid]) and netuid != ROOT_NETUID][:_HEAT_ROWS]
    spans = len(next(iter(churn.rows.values()), ()))
    hours = f"{days(churn.span_blocks) * 24:.1f} hours"
    if not busiest:
        return _section("churn", "Churn", "No snapshot proves a registration in this range.", "")
    first, last = _times(data)
    names = [_time_form(data, first + (last - first) * index / spans) for index in range(spans)]
    marks = [_time_form(data, first + (last - first) * part / (_MARKS - 1)) for part in range(_MARKS)]
    drawing = heat_map({f"{netuid}": churn.rows[netuid] for netuid in busiest}, names, marks)
    rest = sum(netuid != ROOT_NETUID for netuid in churn.rows) - len(busiest)
    left_out = f" {rest} quieter subnets are left out." if rest else ""
    note = f"Registrations that the snapshots prove, by subnet; each cell is {hours}. The darker, the more.{left_out}"
    return _section("churn", "Churn", note, f'<figure class="map">{drawing}</figure>')


def _key(entries: Iterable[tuple[str, str]]) -> str:
    spans = "".join(
        f'<span><i style="background:{COLOURS[place % len(COLOURS)]}"></i>{escape(name)} {escape(text)}</span>'
        for place, (name, text) in enumerate(entries)
    )
    return f'<div class="key">{spans}</div>'


def _price_section(data: ReportData) -> str:
    series = {
        f"subnet {netuid}": [(seconds, rao / RAO_PER_TAO) for seconds, rao in path if rao > 0]
        for netuid, path in data.prices.items()
    }
    series = {name: thinned(points) for name, points in series.items() if points}
    if not series:
        return _section("prices", "Price of a seat", "The snapshots hold no prices.", "")
    everything = [price for points in series.values() for _, price in points]
    first, last = _times(data)
    across = Axis(first, last, "time", form=lambda seconds: _time_form(data, seconds), parts=3)
    up = Axis(min(everything), max(*everything, min(everything) * 10), "TAO, logarithmic", logarithmic=True)
    key = _key((name.removeprefix("subnet "), f"· {points[-1][1]:.4g} TAO") for name, points in series.items())
    note = "The most contested subnets by number, at each snapshot."
    return _section("prices", "Price of a seat", note, f"<figure>{lines(series, across, up)}{key}</figure>")


def _tenure_section(data: ReportData) -> str:
    series, medians = {}, []
    longest = 1.0
    for netuid, curve in data.tenure.items():
        if curve.ages:
            points = [(0.0, 100.0), *zip(map(days, curve.ages), (100 * share for share in curve.shares), strict=True)]
            series[f"subnet {netuid}"] = points
            half = curve.median_blocks
            medians.append((str(netuid), "· half stay" if half is None else f"· half gone in {days(half):.1f} d"))
            longest = max(longest, points[-1][0])
    if not series:
        return _section("tenure", "How long neurons stay", "No neuron left while it was watched.", "")
    drawing = lines(series, Axis(0, longest, "age in days"), Axis(0, 100, "% still there, by age in days"), steps=True)
    note = "Those still there count as long as they were watched (Kaplan-Meier); an upper bound."
    return _section("tenure", "How long neurons stay", note, f"<figure>{drawing}{_key(medians)}</figure>")


def _reading_section() -> str:
    return _section(
        "reading",
        "How to read this",
        "Counts from snapshots are lower bounds: a seat that changed hands twice between two snapshots shows once. "
        "<code>tracker analyze --exact</code> counts every registration; <code>tracker arrivals</code> lists them. "
        "A hotkey swap and a renumbering are no registrations.",
        "",
    )

"""The parts of the page that people read in rows: my neurons at risk, and the ranking. Text only; draws no lines."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tracker.cost import format_tao
from tracker.model import RAO_PER_TAO
from tracker.ranking import SubnetTotals
from tracker.report.data import ReportData
from tracker.risk import Risk
from tracker.subnet_risk import SubnetRisk
from tracker.tenure import days

#: Places in the pruning order up to which a neuron is called next, and soon.
_NEXT, _SOON = 3, 20
#: Rows of the ranking that stand open; the rest folds out.
_SHOWN = 15


def risk_section(risks: Sequence[Risk] | None, subnets: Sequence[SubnetRisk]) -> str:
    """A card for each of my neurons, most endangered first; nothing where none was asked for."""
    if risks is None:
        return ""
    title = '<section><h2 id="risk">My neurons at risk</h2>'
    if not risks:
        return f"{title}<p>None of the watched hotkeys holds a seat.</p></section>"
    by_netuid = {one.netuid: one for one in subnets}
    ordered = sorted(risks, key=lambda risk: (risk.position is None, risk.position or 0, risk.netuid))
    cards = "".join(_card(risk, by_netuid.get(risk.netuid)) for risk in ordered)
    note = "Place, margin and immunity are facts of the newest block; days left carries the present rate on."
    return f'{title}<p>{note}</p><div class="seats">{cards}</div></section>'


def _card(risk: Risk, subnet: SubnetRisk | None) -> str:
    place = risk.position
    kind = "seat" if place is None or place > _SOON else "seat next" if place <= _NEXT else "seat soon"
    safe = 1.0 if place is None or risk.of < 2 else (place - 1) / (risk.of - 1)
    facts = {
        "margin to the next out": "-" if risk.margin is None else f"{risk.margin:.1f} times",
        "immune for": f"{days(risk.immune_blocks) * 24:.1f} h" if risk.immune_blocks else "no longer",
        "free seats before": str(risk.free_seats),
        "days left": "-" if risk.days_left is None else f"{risk.days_left:.1f}",
        "coming back costs": f"{format_tao(risk.reentry_rao)} TAO",
    }
    if subnet is not None:
        facts["its subnet"] = _subnet_place(subnet)
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts.items())
    return (
        f'<div class="{kind}"><b>{escape(_place_of(risk))}</b>'
        f'<div class="who">subnet {risk.netuid} · uid {risk.uid} · {escape(risk.hotkey[:6])}…{escape(risk.hotkey[-4:])}'
        f'</div><div class="meter"><i style="width:{100 * safe:.0f}%"></i></div><dl>{rows}</dl></div>'
    )


def _place_of(risk: Risk) -> str:
    if risk.position is not None:
        return f"{risk.position} of {risk.of} to go"
    return "never (owner)" if risk.is_owner else "pruning rule unknown"


def _subnet_place(subnet: SubnetRisk) -> str:
    if subnet.position is None:
        return f"immune for {days(subnet.immune_blocks):.0f} d" if subnet.immune_blocks else "never out"
    free = f", {subnet.free_places} places free" if subnet.free_places else ""
    return f"{subnet.position} of {subnet.of} to go{free}"


#: Name of a column and whether a phone leaves it out.
_COLUMNS = (
    ("#", True),
    ("subnet", False),
    ("uids", True),
    ("a day", False),
    ("", False),
    ("replaced", True),
    ("% a period", True),
    ("left", True),
    ("new", True),
    ("proven", False),
    ("price, TAO", False),
    ("reading", True),
)


def ranking_section(data: ReportData) -> str:
    """Every subnet by changes; a phone shows five of the columns."""
    ranking = data.ranking
    most = max((row.per_day(row.counts.changes) for row in ranking.rows), default=0.0)
    rows = [_row(place, row, most, data.price_now.get(row.netuid)) for place, row in enumerate(ranking.rows, start=1)]
    gone = ", ".join(str(netuid) for netuid, _ in ranking.dissolved) or "none"
    came = ", ".join(str(netuid) for netuid, _ in ranking.created) or "none"
    note = (
        "Changes a day; registrations that the snapshots prove; replaced, left and new are averages a period between "
        f"snapshots. Dissolved: {gone}. New: {came}."
    )
    rest = rows[_SHOWN:]
    folded = f"<details><summary>{len(rest)} more subnets</summary>{_table(rest)}</details>" if rest else ""
    return f'<section><h2 id="ranking">Ranking by changes</h2><p>{note}</p>{_table(rows[:_SHOWN])}{folded}</section>'


def _table(rows: Sequence[str]) -> str:
    head = "".join(f"<th{_more(hidden)}>{escape(name)}</th>" for name, hidden in _COLUMNS)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _more(hidden: bool) -> str:
    return ' class="more"' if hidden else ""


def _row(place: int, row: SubnetTotals, most: float, price_rao: int | None) -> str:
    counts, known = row.counts, row.periods > 0
    a_day = row.per_day(counts.changes)
    width = 100 * a_day / most if most else 0.0
    cells = [
        str(place),
        str(row.netuid),
        f"{row.mean_count:.0f}",
        f"{a_day:.1f}" if known else "-",
        f'<span class="bar" style="width:{width:.1f}%"></span>' if known and a_day else "",
        *_averages(row),
        f"≥ {counts.true_registrations:,}" if known and row.corrected else "-",
        "-" if price_rao is None else f"{price_rao / RAO_PER_TAO:.4g}",
        f'<span class="badge {row.certainty.name.lower()}">{row.certainty.value}</span>',
    ]
    return _cells(cells)


def _averages(row: SubnetTotals) -> list[str]:
    """Replaced, percentage a period, left and new; dashes where no period is known."""
    counts = row.counts
    if row.periods <= 0:
        return ["-"] * 4
    return [
        f"{row.average(counts.replaced):.2f}",
        f"{row.replacement_percentage:.2f}",
        f"{row.average(counts.deregistered):.2f}",
        f"{row.average(counts.registered):.2f}",
    ]


def _cells(cells: Sequence[str]) -> str:
    made = []
    for (name, hidden), cell in zip(_COLUMNS, cells, strict=True):
        made.append(f'<td class="wide">{cell}</td>' if not name else f"<td{_more(hidden)}>{cell}</td>")
    return "<tr>" + "".join(made) + "</tr>"

"""Tables and plain values about the seats of a subnet: risk, arrivals, make-up, holders, tenure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from rich.table import Table

from tracker.arrivals import Arrivals
from tracker.cost import format_tao
from tracker.makeup import YOUNG_DAYS, Makeup, MakeupChange, RoleChange
from tracker.model import BLOCKS_PER_DAY
from tracker.risk import Risk
from tracker.standing import Holders
from tracker.subnet_risk import SubnetRisk
from tracker.tenure import Survival, days


def short(address: str | None) -> str:
    """An address as it fits a table."""
    return "-" if address is None else f"{address[:6]}…{address[-4:]}"


def position_of(position: int | None, of: int, otherwise: str) -> str:
    """A place in a pruning order."""
    return otherwise if position is None else f"{position} of {of}"


def _columns(table: Table, names: Sequence[str]) -> Table:
    for name in names:
        table.add_column(name, justify="right")
    return table


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def risk_table(risks: Sequence[Risk]) -> Table:
    """My neurons, most endangered first."""
    table = Table(title="Neurons at risk", caption="Place and margin are exact; days left is an estimate.")
    names = ("subnet", "uid", "hotkey", "next out", "margin", "immune (h)", "free seats", "days left", "re-entry")
    _columns(table, names)
    for risk in risks:
        table.add_row(
            str(risk.netuid),
            str(risk.uid),
            short(risk.hotkey),
            position_of(risk.position, risk.of, "never (owner)" if risk.is_owner else "rule unknown"),
            "-" if risk.margin is None else f"{risk.margin:.1f}x",
            f"{days(risk.immune_blocks) * 24:.1f}",
            str(risk.free_seats),
            _or_dash(risk.days_left, ".1f"),
            f"{format_tao(risk.reentry_rao)} TAO",
        )
    return table


def subnet_risk_table(risks: Sequence[SubnetRisk]) -> Table:
    """The subnets of my neurons: one of them is dissolved only when a new subnet comes and all places are taken."""
    table = Table(title="Their subnets")
    _columns(table, ("subnet", "next out", "moving price", "margin", "immune (d)", "free places"))
    for risk in risks:
        table.add_row(
            str(risk.netuid),
            position_of(risk.position, risk.of, "immune" if risk.immune_blocks else "never (root)"),
            f"{risk.price_tao:.4g}",
            "-" if risk.margin is None else f"{risk.margin:.1f}x",
            f"{days(risk.immune_blocks):.1f}",
            str(risk.free_places),
        )
    return table


def arrivals_table(found: Arrivals, top: int = 0) -> Table:
    """Arrivals, oldest first; `top` keeps the newest."""
    own = found.self_replacement_share
    facts = (
        f"{len(found.rows)} registrations ({found.certainty.value}), {found.per_day(len(found.rows)):.1f} a day · "
        f"{'-' if own is None else f'{own:.0%}'} by coldkeys that were there · {found.new_coldkeys} new coldkeys · "
        f"{format_tao(found.spent_rao)} TAO spent · {found.outlived} of {found.judged} outlived immunity"
    )
    per_seat = found.rao_per_survivor
    if per_seat is not None:
        facts += f", {format_tao(round(per_seat))} TAO each"
    table = Table(title=f"Arrivals in subnet {found.netuid}, {found.after_block:,} to {found.until_block:,}")
    table.caption = facts
    _columns(table, ("block", "uid", "came", "coldkey", "price (TAO)", "went", "its coldkey", ""))
    for row in found.rows[-top:] if top else found.rows:
        table.add_row(
            f"{row.block:,}",
            str(row.uid),
            short(row.hotkey),
            short(row.coldkey),
            format_tao(row.price_rao),
            short(row.replaced),
            short(row.replaced_coldkey),
            "own" if row.is_own else "",
        )
    return table


def arrivals_json(found: Arrivals) -> dict[str, object]:
    """Arrivals as plain values."""
    sums = {
        "registrations": len(found.rows),
        "registrations_per_day": found.per_day(len(found.rows)),
        "self_replacement_share": found.self_replacement_share,
        "new_coldkeys_per_day": found.per_day(found.new_coldkeys),
        "spent_rao_per_day": found.per_day(found.spent_rao),
        "rao_per_survivor": found.rao_per_survivor,
    }
    return {**asdict(found), "certainty": found.certainty.value, **sums}


def makeup_tables(made: Makeup, change: MakeupChange | None) -> list[Table]:
    """Roles and emission of a subnet, and what changed."""
    roles = Table(title=f"Subnet {made.netuid} at block {made.block:,}")
    _columns(roles, ("role", "neurons", "emission", "entered", "left", "from other", "to other"))
    for name, role in (("validators", made.validators), ("miners", made.miners)):
        moved = None if change is None else getattr(change, name)
        roles.add_row(name, str(role.count), f"{role.emission_share:.1%}", *_moves(moved))
    seat = Table(title="A seat", caption="Days to earn it back: the median miner, at the price of the moment.")
    _columns(seat, ("price (TAO)", "free", "median miner (TAO/day)", "days to earn back"))
    daily = _or_dash(made.miner_tao_per_day, ".6f")
    seat.add_row(format_tao(made.burn_rao), str(made.free_seats), daily, _or_dash(made.days_to_earn_back, ".2f"))
    young = Table(title="Emission that went to newcomers")
    _columns(young, [f"{age} day{'s' if age > 1 else ''} or younger" for age in YOUNG_DAYS])
    young.add_row(*(f"{made.young_emission[age]:.1%}" for age in YOUNG_DAYS))
    return [roles, seat, young]


def _moves(change: RoleChange | None) -> list[str]:
    if change is None:
        return ["-"] * 4
    return [str(count) for count in (change.entered, change.left, change.from_other, change.to_other)]


def holders_table(holders: Holders) -> Table:
    """Who holds a subnet, by seats and by emission."""
    table = Table(title=f"Holders of subnet {holders.netuid} at block {holders.block:,}")
    _columns(table, ("by", "coldkeys", "largest share", "HHI", "Gini"))
    for label, one in (("seats", holders.by_seats), ("emission", holders.by_emission)):
        table.add_row(label, str(one.holders), f"{one.largest_share:.1%}", f"{one.hhi:.3f}", f"{one.gini:.2f}")
    return table


_TENURE_READING = "upper bound"  # stays that began and ended between two snapshots are not seen


def tenure_table(curves: Mapping[int, Survival], immunity_blocks: int | None) -> Table:
    """How long neurons stay, the longest first."""
    table = Table(title="How long neurons stay", caption="Upper bounds: stays between two snapshots are not seen.")
    _columns(table, ("subnet", "watched", "left", "median (d)", "1 day", "7 days", "30 days", "lost after immunity"))
    for netuid, curve in sorted(curves.items(), key=_longest_first):
        alive = [curve.share_at(age * BLOCKS_PER_DAY) for age in YOUNG_DAYS]
        lost = _lost(curve, immunity_blocks)
        median = None if curve.median_blocks is None else days(curve.median_blocks)
        cells = [_or_dash(share, ".0%") for share in (*alive, lost)]
        table.add_row(str(netuid), str(curve.lives), str(curve.ends), _or_dash(median, ".1f"), *cells)
    return table


def tenure_json(curves: Mapping[int, Survival], immunity_blocks: int | None) -> list[dict[str, object]]:
    """Tenure as plain values."""
    return [
        {
            "netuid": netuid,
            "watched": curve.lives,
            "left": curve.ends,
            "median_blocks": curve.median_blocks,
            "alive": {str(age): curve.share_at(age * BLOCKS_PER_DAY) for age in YOUNG_DAYS},
            "lost_in_the_day_after_immunity": _lost(curve, immunity_blocks),
            "certainty": _TENURE_READING,
        }
        for netuid, curve in sorted(curves.items(), key=_longest_first)
    ]


def _lost(curve: Survival, immunity_blocks: int | None) -> float | None:
    return None if immunity_blocks is None else curve.lost_between(immunity_blocks, immunity_blocks + BLOCKS_PER_DAY)


def _longest_first(entry: tuple[int, Survival]) -> tuple[bool, int, int]:
    """A subnet in which half never went while it was watched comes before every one with a median."""
    netuid, curve = entry
    return curve.median_blocks is not None, -(curve.median_blocks or 0), netuid

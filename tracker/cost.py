"""What a seat costs: prices of registration in every subnet at one block (spec: tracker 6).

Amounts are rao, whole numbers; decimals appear only where people read. No price feed: the TAO price comes from the
caller. Names and symbols come from the chain and are untrusted text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from tracker.chain.reader import Block, ChainReader
from tracker.errors import MissingItemError, UnknownSubnetError
from tracker.model import RAO_PER_TAO, ROOT_NETUID
from tracker.scan import gathered

_PALLET: Final = "SubtensorModule"
#: One request each, all at one block.
_COLUMNS: Final = (
    "Burn",
    "MinBurn",
    "MaxBurn",
    "NetworkRegistrationAllowed",
    "SubnetworkN",
    "MaxAllowedUids",
    "ImmunityPeriod",
    "BurnHalfLife",
    "BurnIncreaseMult",
    "CollateralLockShare",
    "TokenSymbol",
    "SubnetIdentitiesV3",
)
_SHARE_UNIT: Final = 65_535
_MULTIPLIER_UNIT: Final = 2**64


@dataclass(frozen=True)
class SubnetCost:
    """One subnet's price of registration and what surrounds it, at one block.

    `burn_rao` is None for root, which has no burn registration. Of the price, `locked_rao` becomes collateral and the
    rest is burned.
    """

    netuid: int
    name: str
    symbol: str
    burn_rao: int | None
    min_burn_rao: int
    max_burn_rao: int
    allowed: bool
    count: int
    max_uids: int
    immunity_blocks: int
    half_life_blocks: int | None
    multiplier: float | None
    collateral_share: float
    block: int
    block_hash: str
    timestamp: datetime

    @property
    def burn_tao(self) -> Decimal | None:
        return None if self.burn_rao is None else Decimal(self.burn_rao) / RAO_PER_TAO

    @property
    def locked_rao(self) -> int:
        return 0 if self.burn_rao is None else int(self.burn_rao * self.collateral_share)

    @property
    def free_seats(self) -> int:
        return max(0, self.max_uids - self.count)


@dataclass(frozen=True)
class CostComparison:
    """Several subnets by price, and the numbers that name no subnet."""

    costs: tuple[SubnetCost, ...]
    missing: tuple[int, ...]


async def read_costs(reader: ChainReader, netuids: Sequence[int] | None = None) -> CostComparison:
    """Prices of these subnets, or of all, at the finalized head; cheapest first, then by netuid, root last."""
    at = await reader.finalized()
    stamp = await reader.value("Timestamp.Now", at)
    moment = datetime.fromtimestamp(int(str(stamp)) / 1000, tz=UTC)
    networks = await reader.mapping(f"{_PALLET}.NetworksAdded", at)
    existing = {netuid for netuid, added in networks.items() if added}
    wanted = sorted(existing if netuids is None else existing & set(netuids))
    missing = tuple(sorted(set(netuids or ()) - existing))
    costs = await _read(reader, wanted, at, moment) if wanted else []
    return CostComparison(tuple(sorted(costs, key=_by_price)), missing)


async def read_cost(reader: ChainReader, netuid: int) -> SubnetCost:
    """The price of one subnet.

    Raises:
        UnknownSubnetError: there is no such subnet; the chain itself would answer a default price.
    """
    found = await read_costs(reader, [netuid])
    if not found.costs:
        raise UnknownSubnetError(f"no such subnet: {netuid}; `tracker cost --all` lists those that exist")
    return found.costs[0]


def _by_price(cost: SubnetCost) -> tuple[bool, int, int]:
    return cost.burn_rao is None, cost.burn_rao or 0, cost.netuid


async def _read(reader: ChainReader, netuids: list[int], at: Block, moment: datetime) -> list[SubnetCost]:
    columns = await gathered([_column(reader, name, netuids, at) for name in _COLUMNS])
    table = dict(zip(_COLUMNS, columns, strict=True))
    costs = []
    for index, netuid in enumerate(netuids):
        row = {name: column[index] for name, column in table.items()}
        costs.append(
            SubnetCost(
                netuid=netuid,
                name=_name(row["SubnetIdentitiesV3"]),
                symbol=_text(row["TokenSymbol"]),
                burn_rao=None if netuid == ROOT_NETUID else _number(row["Burn"]),
                min_burn_rao=_number(row["MinBurn"]),
                max_burn_rao=_number(row["MaxBurn"]),
                allowed=netuid != ROOT_NETUID and bool(row["NetworkRegistrationAllowed"]),
                count=_number(row["SubnetworkN"]),
                max_uids=_number(row["MaxAllowedUids"]),
                immunity_blocks=_number(row["ImmunityPeriod"]),
                half_life_blocks=None if row["BurnHalfLife"] is None else _number(row["BurnHalfLife"]),
                multiplier=_multiplier(row["BurnIncreaseMult"]),
                collateral_share=_number(row["CollateralLockShare"]) / _SHARE_UNIT,
                block=at.number,
                block_hash=at.hash,
                timestamp=moment,
            )
        )
    return costs


async def _column(reader: ChainReader, name: str, netuids: list[int], at: Block) -> list[object]:
    try:
        return await reader.per_subnet(f"{_PALLET}.{name}", netuids, at)
    except MissingItemError:
        return [None] * len(netuids)


def _number(value: object) -> int:
    return 0 if value is None else int(str(value))


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, list | tuple):
        return bytes(int(str(part)) for part in value).decode(errors="replace")
    return "" if value is None else str(value)


def _name(identity: object) -> str:
    return _text(identity.get("subnet_name")) if isinstance(identity, dict) else ""


def _multiplier(value: object) -> float | None:
    bits = value.get("bits") if isinstance(value, dict) else value
    return None if bits is None else int(str(bits)) / _MULTIPLIER_UNIT


def format_tao(rao: int | None) -> str:
    """An amount for people: as many decimals as it takes to show it, never a rounded zero."""
    if rao is None:
        return "-"
    amount = Decimal(rao) / RAO_PER_TAO
    text = f"{amount:.9f}".rstrip("0").rstrip(".")
    if amount >= 1:
        return f"{amount:.4f}".rstrip("0").rstrip(".")
    return text


def to_usd(rao: int, tao_price_usd: float | Decimal | str) -> Decimal:
    """An amount in dollars at a price that the caller names.

    Raises:
        ValueError: the price is not a positive, finite number.
    """
    price = Decimal(str(tao_price_usd))
    if not price.is_finite() or price <= 0 or not math.isfinite(float(price)):
        raise ValueError(f"the TAO price must be a positive number of dollars, got {tao_price_usd}")
    return Decimal(rao) * price / RAO_PER_TAO


def implied_registrations(before: SubnetCost, after: SubnetCost) -> float | None:
    """Burn registrations between two prices of one subnet, by the chain's price rule.

    None where the rule says nothing: unknown parameters, or a price at one of its bounds.
    """
    if before.burn_rao is None or after.burn_rao is None or not after.half_life_blocks or not after.multiplier:
        return None
    for cost in (before, after):
        if cost.burn_rao in (cost.min_burn_rao, cost.max_burn_rao):
            return None
    decay = (after.block - before.block) / after.half_life_blocks * math.log(2)
    return (math.log(after.burn_rao / before.burn_rao) + decay) / math.log(after.multiplier)

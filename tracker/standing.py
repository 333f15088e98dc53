"""Reads what pruning looks at: one subnet's neurons, or all subnets' prices, at one block.

Spec: users-and-peers 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tracker.chain.reader import Block, ChainReader
from tracker.concentration import Concentration, by_holder, concentration
from tracker.errors import IncompleteSnapshotError, MissingItemError, UnknownSubnetError
from tracker.risk import MINIMUM_FREE_UIDS, Neuron, Standing
from tracker.scan import both, gathered
from tracker.subnet_risk import SubnetStanding, SubnetStandings

_PALLET: Final = "SubtensorModule"
_PRICE_UNIT: Final = 2**32
#: Subnets of the first mechanism have no market and count with this price.
_FLAT_PRICE_TAO: Final = 1.0
_COLUMNS: Final = (
    "SubnetworkN",
    "ImmunityPeriod",
    "MaxAllowedUids",
    "Burn",
    "Emission",
    "ValidatorPermit",
    "SubnetOwnerHotkey",
    "MinNonImmuneUids",
    "Tempo",
    "SubnetMovingPrice",
)
#: What the pruning order cannot be told without; the others have a default or stand for themselves.
_NEEDED: Final = ("SubnetworkN", "ImmunityPeriod", "MaxAllowedUids", "Emission")


async def read_standing(reader: ChainReader, netuid: int, at: Block) -> Standing:
    """One subnet as pruning sees it.

    Raises:
        UnknownSubnetError: there is no such subnet at that block.
        IncompleteSnapshotError: something that the order rests on was not read.
    """
    networks = await reader.mapping(f"{_PALLET}.NetworksAdded", at)
    if not networks.get(netuid):
        raise UnknownSubnetError(f"no such subnet at block {at.number}: {netuid}")
    columns = await gathered([_one(reader, name, netuid, at) for name in _COLUMNS])
    row = dict(zip(_COLUMNS, columns, strict=True))
    unread = [name for name in _NEEDED if row[name] is None]
    if unread:
        raise IncompleteSnapshotError(f"{', '.join(unread)} of subnet {netuid} cannot be read at block {at.number}")
    places = [(netuid, uid) for uid in range(_whole(row["SubnetworkN"]))]
    hotkeys, registered = await both(reader.hotkeys(places, at), reader.registrations(places, at))
    least_free = row["MinNonImmuneUids"]
    return Standing(
        netuid=netuid,
        block=at.number,
        spec_version=await reader.spec_version(),
        immunity_blocks=_whole(row["ImmunityPeriod"]),
        max_uids=_whole(row["MaxAllowedUids"]),
        burn_rao=_whole(row["Burn"]),
        neurons=_neurons(row, hotkeys, registered),
        minimum_free_uids=MINIMUM_FREE_UIDS if least_free is None else _whole(least_free),
        tempo_blocks=_whole(row["Tempo"]),
        price_tao=_price(row["SubnetMovingPrice"]),
    )


async def _one(reader: ChainReader, name: str, netuid: int, at: Block) -> object:
    """One subnet's value; None where this runtime has no such item."""
    try:
        return (await reader.per_subnet(f"{_PALLET}.{name}", [netuid], at))[0]
    except MissingItemError:
        return None


def _neurons(row: Mapping[str, object], hotkeys: Sequence[str], registered: Sequence[int]) -> tuple[Neuron, ...]:
    earned, permits, owner = _items(row["Emission"]), _items(row["ValidatorPermit"]), str(row["SubnetOwnerHotkey"])
    return tuple(
        Neuron(
            uid,
            hotkey,
            _whole(earned[uid]) if uid < len(earned) else 0,
            taken,
            is_owner=hotkey == owner,
            is_validator=uid < len(permits) and bool(permits[uid]),
        )
        for uid, (hotkey, taken) in enumerate(zip(hotkeys, registered, strict=True))
    )


def _items(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else []


def _whole(value: object) -> int:
    return int(str(value or 0))


@dataclass(frozen=True)
class Holders:
    """How concentrated a subnet is by coldkey at one block."""

    netuid: int
    block: int
    by_seats: Concentration
    by_emission: Concentration


async def read_holders(reader: ChainReader, standing: Standing, at: Block) -> Holders:
    """Who holds the seats and the emission of one subnet, at the block of its standing."""
    owners = await reader.coldkeys([neuron.hotkey for neuron in standing.neurons], at) if standing.neurons else []
    seats = by_holder(owners, [1.0] * len(owners))
    emission = by_holder(owners, [float(neuron.emission_rao) for neuron in standing.neurons])
    return Holders(standing.netuid, at.number, concentration(seats.values()), concentration(emission.values()))


async def read_subnet_standings(reader: ChainReader, at: Block) -> SubnetStandings:
    """All subnets' moving prices and ages at one block."""
    networks = await reader.mapping(f"{_PALLET}.NetworksAdded", at)
    netuids = sorted(netuid for netuid, added in networks.items() if added)
    immunity = await reader.value(f"{_PALLET}.NetworkImmunityPeriod", at)
    limit = await reader.value(f"{_PALLET}.SubnetLimit", at)
    names = ("NetworkRegisteredAt", "SubnetMovingPrice", "SubnetMechanism")
    columns = await gathered([reader.per_subnet(f"{_PALLET}.{name}", netuids, at) for name in names])
    rows = tuple(
        SubnetStanding(netuid, _whole(birth), _price(price) if _whole(mechanism) else _FLAT_PRICE_TAO)
        for netuid, birth, price, mechanism in zip(netuids, *columns, strict=True)
    )
    return SubnetStandings(at.number, await reader.spec_version(), _whole(immunity), _whole(limit), rows)


def _price(value: object) -> float:
    bits = value.get("bits") if isinstance(value, dict) else value
    return _whole(bits) / _PRICE_UNIT

"""Reads what pruning looks at: one subnet's neurons, or all subnets' prices, at one block.

Spec: users-and-peers 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tracker.chain.reader import Block, ChainReader
from tracker.concentration import Concentration, by_holder, concentration
from tracker.errors import UnknownSubnetError
from tracker.risk import Neuron, Standing, SubnetStanding
from tracker.scan import gathered

_PALLET: Final = "SubtensorModule"
_PRICE_UNIT: Final = 2**32


async def read_standing(reader: ChainReader, netuid: int, at: Block) -> Standing:
    """One subnet as pruning sees it.

    Raises:
        UnknownSubnetError: there is no such subnet at that block.
    """
    networks = await reader.mapping(f"{_PALLET}.NetworksAdded", at)
    if not networks.get(netuid):
        raise UnknownSubnetError(f"no such subnet at block {at.number}: {netuid}")
    names = ("SubnetworkN", "ImmunityPeriod", "MaxAllowedUids", "Burn", "Emission", "SubnetOwnerHotkey")
    columns = await gathered([reader.per_subnet(f"{_PALLET}.{name}", [netuid], at) for name in names])
    count, immunity, seats, burn, emission, owner = (column[0] for column in columns)
    places = [(netuid, uid) for uid in range(int(str(count or 0)))]
    hotkeys = await reader.hotkeys(places, at)
    registered = await reader.registrations(places, at)
    earned = [int(str(one)) for one in emission] if isinstance(emission, list | tuple) else []
    neurons = tuple(
        Neuron(uid, hotkey, earned[uid] if uid < len(earned) else 0, taken, is_owner=hotkey == str(owner))
        for (_, uid), hotkey, taken in zip(places, hotkeys, registered, strict=True)
    )
    return Standing(
        netuid=netuid,
        block=at.number,
        spec_version=await reader.spec_version(),
        immunity_blocks=int(str(immunity or 0)),
        max_uids=int(str(seats or 0)),
        burn_rao=int(str(burn or 0)),
        neurons=neurons,
    )


@dataclass(frozen=True)
class Holders:
    """How concentrated a subnet is by coldkey at one block."""

    netuid: int
    block: int
    by_seats: Concentration
    by_emission: Concentration


async def read_holders(reader: ChainReader, netuid: int, at: Block) -> Holders:
    """Who holds the seats and the emission of one subnet.

    Raises:
        UnknownSubnetError: there is no such subnet at that block.
    """
    standing = await read_standing(reader, netuid, at)
    owners = await reader.coldkeys([neuron.hotkey for neuron in standing.neurons], at) if standing.neurons else []
    seats = by_holder(owners, [1.0] * len(owners))
    emission = by_holder(owners, [float(neuron.emission_rao) for neuron in standing.neurons])
    return Holders(netuid, at.number, concentration(seats.values()), concentration(emission.values()))


@dataclass(frozen=True)
class SubnetStandings:
    """All subnets as the pruning of whole subnets sees them; one is pruned only when all `limit` places are taken."""

    block: int
    spec_version: int
    immunity_blocks: int
    limit: int
    subnets: tuple[SubnetStanding, ...]


async def read_subnet_standings(reader: ChainReader, at: Block) -> SubnetStandings:
    """All subnets' moving prices and ages at one block."""
    networks = await reader.mapping(f"{_PALLET}.NetworksAdded", at)
    netuids = sorted(netuid for netuid, added in networks.items() if added)
    immunity = await reader.value(f"{_PALLET}.NetworkImmunityPeriod", at)
    limit = await reader.value(f"{_PALLET}.SubnetLimit", at)
    births = await reader.per_subnet(f"{_PALLET}.NetworkRegisteredAt", netuids, at)
    prices = await reader.per_subnet(f"{_PALLET}.SubnetMovingPrice", netuids, at)
    rows = tuple(
        SubnetStanding(netuid, int(str(birth or 0)), _price(price))
        for netuid, birth, price in zip(netuids, births, prices, strict=True)
    )
    return SubnetStandings(at.number, await reader.spec_version(), int(str(immunity or 0)), int(str(limit or 0)), rows)


def _price(value: object) -> float:
    bits = value.get("bits") if isinstance(value, dict) else value
    return int(str(bits or 0)) / _PRICE_UNIT

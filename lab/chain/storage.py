"""The synthetic chain as raw storage: what a node would answer for any key at any block. Encodes; decides nothing."""

from __future__ import annotations

import bisect
import hashlib
from collections import OrderedDict
from typing import Final

from lab.chain.chain import Chain
from lab.chain.runtime import Runtime
from lab.chain.subnets import ROOT, Subnet

_PALLET: Final = "SubtensorModule"
_STATES_KEPT: Final = 8
_SUBNETS_KEPT: Final = 4096
_KEY_BYTES: Final = 32
Rows = dict[bytes, bytes]


class Storage:
    """Encoded rows by block, cached by the state they come from."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self._states: OrderedDict[tuple[int, int], tuple[Rows, list[bytes]]] = OrderedDict()
        self._subnets: dict[tuple[int, int, int, bool], Rows] = {}

    def lookup(self, block: int, key: bytes) -> bytes | None:
        """One value, or None where the key is absent."""
        value = self.at(block)[0].get(key)
        return self.moving(block).get(key) or self.owner(block, key) if value is None else value

    def owner(self, block: int, key: bytes) -> bytes | None:
        """The coldkey of a hotkey that holds no seat any more, where the key asks for one."""
        wanted = key.startswith(self.chain.writer(block).prefix(f"{_PALLET}.Owner"))
        return self.chain.owners.get(key[-_KEY_BYTES:]) if wanted else None

    def keys(self, block: int, prefix: bytes, start: bytes | None, count: int) -> list[bytes]:
        """The next keys under a prefix, in byte order."""
        _, order = self.at(block)
        moving = sorted(key for key in self.moving(block) if key.startswith(prefix))
        if moving:
            first, last = bisect.bisect_left(order, prefix), bisect.bisect_left(order, prefix + b"\xff" * 64)
            order = sorted(set(order[first:last]) | set(moving))
        at = bisect.bisect_left(order, prefix) if start is None or start < prefix else bisect.bisect_right(order, start)
        found: list[bytes] = []
        while at < len(order) and len(found) < count and order[at].startswith(prefix):
            found.append(order[at])
            at += 1
        return found

    def at(self, block: int) -> tuple[Rows, list[bytes]]:
        """Rows and sorted keys at a block, without the items that change every block."""
        runtime, state = self.chain.writer(block), self.chain.state(block)
        tag = (id(runtime), id(state))
        if tag not in self._states:
            rows: Rows = {}
            for subnet in state.values():
                rows.update(self._rows_of(runtime, subnet))
            total = sum(subnet.exists for subnet in state.values())
            item = f"{_PALLET}.TotalNetworks"
            rows[runtime.key(item)] = runtime.value(item, total)
            self._states[tag] = (rows, sorted(rows))
            while len(self._states) > _STATES_KEPT:
                self._states.popitem(last=False)
        return self._states[tag]

    def moving(self, block: int) -> Rows:
        """The items that change every block: number, time, events, prices."""
        runtime = self.chain.writer(block)
        state = self.chain.state(block)
        records = [
            {"phase": {"ApplyExtrinsic": index + 1}, "event": event, "topics": []}
            for index, event in enumerate(self.chain.events.get(block, []))
        ]
        values: dict[str, object] = {
            "System.Number": block,
            "Timestamp.Now": self.chain.time_milliseconds(block),
            "System.Events": records,
        }
        rows = {runtime.key(item): runtime.value(item, value) for item, value in values.items()}
        burn = f"{_PALLET}.Burn"
        for netuid, subnet in state.items():
            rows[runtime.key(burn, netuid)] = runtime.value(burn, subnet.burn_at(block))
        return rows

    def _rows_of(self, runtime: Runtime, subnet: Subnet) -> Rows:
        tag = (id(runtime), subnet.netuid, subnet.version, subnet.exists)
        if tag in self._subnets:
            return self._subnets[tag]
        rows: Rows = {}
        if subnet.exists:
            rows[runtime.key(f"{_PALLET}.NetworksAdded", subnet.netuid)] = b"\1"
        for name, value in _items_of(subnet).items():
            item = f"{_PALLET}.{name}"
            if runtime.has(item):
                rows[runtime.key(item, subnet.netuid)] = runtime.value(item, value)
        rows.update(_uid_rows(runtime, subnet))
        if len(self._subnets) > _SUBNETS_KEPT:
            self._subnets.clear()
        self._subnets[tag] = rows
        return rows


def _items_of(subnet: Subnet) -> dict[str, object]:
    """Values stored under the netuid alone."""
    return {
        "SubnetworkN": len(subnet.hotkeys),
        "Tempo": subnet.tempo,
        "ImmunityPeriod": subnet.immunity_blocks,
        "MaxAllowedUids": subnet.max_uids,
        "MinBurn": subnet.min_burn_rao,
        "MaxBurn": subnet.max_burn_rao,
        "NetworkRegisteredAt": subnet.registered_at,
        "NetworkRegistrationAllowed": subnet.registration_allowed,
        "SubnetOwner": subnet.owner_coldkey,
        "SubnetOwnerHotkey": subnet.owner_hotkey,
        "TokenSymbol": subnet.symbol,
        "BurnHalfLife": subnet.half_life_blocks,
        "BurnIncreaseMult": {"bits": int(subnet.burn_multiplier * 2**64)},
        "RegisteredSubnetCounter": 1,
        "SubnetMechanism": 0 if subnet.netuid == ROOT else 1,
        "SubnetMovingPrice": {"bits": (1 + subnet.netuid % 9) << 32},
        "ValidatorPermit": subnet.permits,
        "Emission": subnet.emission,
        "Active": [True] * len(subnet.hotkeys),
        "SubnetIdentitiesV3": {"subnet_name": subnet.name},
        "FirstEmissionBlockNumber": subnet.registered_at + 10,
    }


def _uid_rows(runtime: Runtime, subnet: Subnet) -> Rows:
    """Values stored under netuid and uid, or under the hotkey."""
    netuid = subnet.netuid.to_bytes(2, "little")
    keys_at = runtime.prefix(f"{_PALLET}.Keys") + netuid
    registered_at = runtime.prefix(f"{_PALLET}.BlockAtRegistration") + netuid
    uids_at = runtime.prefix(f"{_PALLET}.Uids") + netuid
    owner_at = runtime.prefix(f"{_PALLET}.Owner")
    rows: Rows = {}
    for uid, hotkey in enumerate(subnet.hotkeys):
        position = uid.to_bytes(2, "little")
        hashed = hashlib.blake2b(hotkey, digest_size=16).digest() + hotkey
        rows[keys_at + position] = hotkey
        rows[registered_at + position] = subnet.registered[uid].to_bytes(8, "little")
        rows[uids_at + hashed] = position
        rows[owner_at + hashed] = subnet.coldkeys[uid]
    return rows

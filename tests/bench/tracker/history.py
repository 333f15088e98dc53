"""A made-up history as large as the main network's: 129 subnets of 256 seats, some 80 of which change an hour.

Made without the simulated chain, which would keep every state of 40 days. The addresses are numbers in disguise.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from tests.support.chains import NETWORK
from tracker.model import Snapshot, Subnet

BLOCKS_BETWEEN: Final = 300
_FIRST_BLOCK: Final = 5_000_000
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_SUBNETS: Final = 129
_SEATS: Final = 256
_CHANGES: Final = 80


def history(count: int, seed: int = 1) -> Iterator[Snapshot]:
    """So many hourly snapshots, oldest first. Low numbers are contested far more than high ones."""
    chance = random.Random(seed)
    hotkeys = [[_address(netuid * 1000 + uid) for uid in range(_SEATS)] for netuid in range(_SUBNETS)]
    registered = [[_FIRST_BLOCK - chance.randrange(400_000) for _ in range(_SEATS)] for _ in range(_SUBNETS)]
    price = [10 ** chance.randrange(6, 10) for _ in range(_SUBNETS)]
    arrived = 1_000_000
    for number in range(count):
        block = _FIRST_BLOCK + number * BLOCKS_BETWEEN
        price = [max(500_000, int(rao * 0.56)) for rao in price]  # 300 blocks at a half-life of 360
        for _ in range(_CHANGES if number else 0):
            netuid, uid = int(_SUBNETS * chance.random() ** 3), chance.randrange(_SEATS)
            arrived += 1
            hotkeys[netuid][uid] = _address(arrived)
            registered[netuid][uid] = block - chance.randrange(BLOCKS_BETWEEN)
            price[netuid] = min(100 * 10**9, int(price[netuid] * 1.26))
        subnets = {
            netuid: Subnet(
                netuid,
                dict(enumerate(hotkeys[netuid])),
                dict(enumerate(registered[netuid])),
                registered_at=1_000_000 + netuid,
                burn_rao=price[netuid],
                block=block,
            )
            for netuid in range(_SUBNETS)
        }
        moment = _START + timedelta(seconds=12 * BLOCKS_BETWEEN * number)
        yield Snapshot(NETWORK, block, moment, subnets, block_hash=f"0x{block:064x}", finalized=True, spec_version=461)


def _address(number: int) -> str:
    return f"5Simulated{number:038d}"

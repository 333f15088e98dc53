"""Snapshots of all subnets at one block, as plain data (spec: tracker 3, 4). No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

#: The root network replaces by stake and has no price; averages leave it out unless told otherwise.
ROOT_NETUID: Final = 0
#: Version of the file format that we write; readers take files without it, too.
SCHEMA_VERSION: Final = 1
RAO_PER_TAO: Final = 1_000_000_000
BLOCKS_PER_DAY: Final = 7_200


@dataclass(frozen=True)
class Subnet:
    """One subnet at the snapshot's block.

    Args:
        netuid: its number; numbers are given out again after a dissolution.
        hotkeys: SS58 address by uid.
        registered: block of registration by uid; empty where the source did not say.
        registered_at: block at which the subnet itself was registered, its identity beside the number; None if unknown.
        burn_rao: price of a registration; None if unknown.
        block: block of this subnet's rows; equals the snapshot's, except in files of tools that read subnet by subnet.
    """

    netuid: int
    hotkeys: Mapping[int, str]
    registered: Mapping[int, int] = field(default_factory=dict)
    registered_at: int | None = None
    burn_rao: int | None = None
    block: int = 0

    @property
    def count(self) -> int:
        """Number of neurons."""
        return len(self.hotkeys)


@dataclass(frozen=True)
class Snapshot:
    """All subnets of one network at one block.

    Args:
        network: name of the network, such as `finney`; snapshots of two networks are never compared.
        block: number of the block.
        timestamp: the block's own time, UTC.
        subnets: by netuid.
        block_hash: None where the source did not say; likewise the rest.
    """

    network: str
    block: int
    timestamp: datetime
    subnets: Mapping[int, Subnet]
    block_hash: str | None = None
    finalized: bool | None = None
    spec_version: int | None = None
    taken_at: datetime | None = None
    endpoint: str | None = None
    sdk: str | None = None

    @property
    def is_torn(self) -> bool:
        """Whether subnets were read at different blocks, so that changes may be counted in the wrong period."""
        return any(subnet.block != self.block for subnet in self.subnets.values())

    @property
    def count(self) -> int:
        """Number of neurons of all subnets."""
        return sum(subnet.count for subnet in self.subnets.values())

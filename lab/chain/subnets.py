"""Subnets of the synthetic chain: one subnet's rows, and the rules by which the chain prices and prunes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Final

ROOT: Final = 0
#: Immune uids are only pruned when fewer than so many others are left.
MINIMUM_FREE_UIDS: Final = 10


def account(*parts: object) -> bytes:
    """A public key that follows from the parts alone; nobody has its secret."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=32).digest()


@dataclass
class Subnet:
    """One subnet at one moment. Amounts are in rao, times in blocks. Lists are indexed by uid."""

    netuid: int
    registered_at: int
    hotkeys: list[bytes] = field(default_factory=list)
    registered: list[int] = field(default_factory=list)
    coldkeys: list[bytes] = field(default_factory=list)
    emission: list[int] = field(default_factory=list)
    permits: list[bool] = field(default_factory=list)
    exists: bool = True
    max_uids: int = 256
    immunity_blocks: int = 4096
    tempo: int = 360
    burn_rao: int = 100_000_000
    burn_block: int = 0
    min_burn_rao: int = 500_000
    max_burn_rao: int = 100_000_000_000
    half_life_blocks: int = 360
    burn_multiplier: float = 1.26
    registration_allowed: bool = True
    name: str = ""
    symbol: str = ""
    owner_coldkey: bytes = b""
    owner_hotkey: bytes = b""
    version: int = 0

    def __post_init__(self) -> None:
        self.burn_block = self.burn_block or self.registered_at
        self.name = self.name or f"subnet {self.netuid}"
        self.symbol = self.symbol or ("τ" if self.netuid == ROOT else chr(0x3B1 + self.netuid % 25))
        self.owner_coldkey = self.owner_coldkey or account("owner cold", self.netuid, self.registered_at)
        self.owner_hotkey = self.owner_hotkey or account("owner hot", self.netuid, self.registered_at)

    def edited(self) -> Subnet:
        """A copy whose lists are its own, to be changed."""
        return replace(
            self,
            hotkeys=list(self.hotkeys),
            registered=list(self.registered),
            coldkeys=list(self.coldkeys),
            emission=list(self.emission),
            permits=list(self.permits),
            version=self.version + 1,
        )

    def append(self, hotkey: bytes, coldkey: bytes, block: int, emission: int = 0, permit: bool = False) -> None:
        """Seat a neuron at the next free uid."""
        self.hotkeys.append(hotkey)
        self.coldkeys.append(coldkey)
        self.registered.append(block)
        self.emission.append(emission)
        self.permits.append(permit)

    def seat(self, uid: int, hotkey: bytes, coldkey: bytes, block: int) -> None:
        """Give an occupied uid to a newcomer."""
        self.hotkeys[uid], self.coldkeys[uid], self.registered[uid] = hotkey, coldkey, block
        self.emission[uid], self.permits[uid] = 0, False

    def keep_only(self, uids: set[int]) -> None:
        """Drop every other uid; those that stay are renumbered."""
        stay = sorted(uids)
        self.hotkeys = [self.hotkeys[uid] for uid in stay]
        self.registered = [self.registered[uid] for uid in stay]
        self.coldkeys = [self.coldkeys[uid] for uid in stay]
        self.emission = [self.emission[uid] for uid in stay]
        self.permits = [self.permits[uid] for uid in stay]

    def burn_at(self, block: int) -> int:
        """The registration price in rao: it decays by its half-life within its bounds."""
        price = self.burn_rao
        if self.half_life_blocks and block > self.burn_block:
            price = int(price * 2.0 ** (-(block - self.burn_block) / self.half_life_blocks))
        return min(max(price, self.min_burn_rao), self.max_burn_rao)

    def raise_burn(self, block: int) -> None:
        """What one burn registration does to the price."""
        raised = int(self.burn_at(block) * self.burn_multiplier)
        self.burn_rao, self.burn_block = min(max(raised, self.min_burn_rao), self.max_burn_rao), block

    def to_prune(self, block: int) -> int | None:
        """The uid that the next registration replaces: lowest emission, then oldest, then lowest uid."""
        free: list[tuple[int, int, int]] = []
        immune: list[tuple[int, int, int]] = []
        for uid, hotkey in enumerate(self.hotkeys):
            if hotkey == self.owner_hotkey:
                continue
            row = (self.emission[uid], self.registered[uid], uid)
            (immune if block - self.registered[uid] < self.immunity_blocks else free).append(row)
        if len(free) > MINIMUM_FREE_UIDS:
            return min(free)[2]
        return min(immune)[2] if immune else None

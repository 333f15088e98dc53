"""A synthetic subnet chain: deterministic, addressable by block, with the truth of every registration kept beside it.

A chain is a base state plus a sorted list of operations; the state at a block is the base with the operations up to
that block applied. A trim renumbers the uids that stay; a hotkey swap keeps the registration block; a dissolved subnet
leaves the list of networks at once and its rows some blocks later; its number can be given out again.
"""

from __future__ import annotations

import bisect
import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from lab.chain.runtime import SLOT_MILLISECONDS, Runtime
from lab.chain.subnets import ROOT, Subnet, account


class Kind(StrEnum):
    """What happened to a uid."""

    APPEND = "append"
    REPLACE = "replace"
    SWAP = "swap"
    TRIM = "trim"
    DISSOLVE = "dissolve"


@dataclass(frozen=True)
class Truth:
    """One thing that happened to one uid; keys are raw public keys."""

    block: int
    netuid: int
    uid: int
    kind: Kind
    old: bytes | None
    new: bytes | None


State = dict[int, Subnet]
Operation = Callable[[State, int, int], None]


class Chain:
    """The chain and its clock.

    Args:
        runtimes: `(first block whose state carries it, runtime)`; several make an upgrade.
        outages: `(block, lost milliseconds)`; slots that never came.
    """

    def __init__(
        self,
        runtimes: Sequence[tuple[int, Runtime]],
        *,
        seed: int = 1,
        base_block: int = 5_000_000,
        head: int = 5_010_000,
        finality_lag: int = 3,
        outages: Sequence[tuple[int, int]] = (),
    ) -> None:
        self.runtimes = sorted(runtimes, key=lambda pair: pair[0])
        self.seed, self.base_block, self.head, self.lag = seed, base_block, head, finality_lag
        self.outages = sorted(outages)
        self.fork = 0
        self.base: State = {}
        self.events: dict[int, list[dict[str, object]]] = {}
        self.truth: list[Truth] = []
        self.owners: dict[bytes, bytes] = {}  # coldkey by hotkey; like the real chain's, they outlive a seat
        self._random = random.Random(seed)
        self._operations: list[tuple[int, int, Operation]] = []
        self._states: list[State] = []
        self._blocks: list[int] = []
        self._numbers: dict[str, int] = {}

    # Building

    def add(self, subnet: Subnet, count: int | None = None) -> Subnet:
        """Put a subnet into the base state with so many neurons, by default a full one."""
        for uid in range(subnet.max_uids if count is None else count):
            owned = uid == 0 and subnet.netuid != ROOT
            hotkey = subnet.owner_hotkey if owned else account("hot", self.seed, subnet.netuid, uid, 0)
            age = self._random.randrange(5_000, 400_000)
            coldkey = account("cold", self.seed, subnet.netuid, uid // 3)
            self.owners[hotkey] = coldkey
            subnet.append(hotkey, coldkey, self.base_block - age, self._random.randrange(0, 10**9), uid < 12)
        subnet.burn_block = self.base_block
        self.base[subnet.netuid] = subnet
        return subnet

    def at(self, block: int, operation: Operation) -> None:
        """Let something happen at a block."""
        self._operations.append((block, len(self._operations), operation))
        self._states = []

    def churn(self, netuid: int, every: int, first: int | None = None) -> None:
        """Registrations of fresh hotkeys every so many blocks, past the head."""
        for block in range(first or self.base_block + 1, self.head + 1001, every):
            self.at(block, partial(self.register, netuid=netuid))

    def state(self, block: int) -> State:
        """Every subnet at a block, dissolved ones whose rows are still there included."""
        if not self._states:
            self._build()
        return self._states[bisect.bisect_right(self._blocks, block)]

    def _build(self) -> None:
        self._operations.sort(key=lambda entry: entry[:2])
        self.events, self.truth = {}, []
        state = self.base
        states, blocks = [state], []
        for serial, (block, _, operation) in enumerate(self._operations, start=1):
            state = dict(state)
            operation(state, block, serial)
            states.append(state)
            blocks.append(block)
        self._states, self._blocks = states, blocks

    def _note(self, block: int, netuid: int, uid: int, kind: Kind, old: bytes | None, new: bytes | None) -> None:
        self.truth.append(Truth(block, netuid, uid, kind, old, new))

    def _event(self, block: int, name: str, payload: object) -> None:
        self.events.setdefault(block, []).append({"SubtensorModule": {name: payload}})

    # Operations

    def register(
        self, state: State, block: int, serial: int, *, netuid: int, hotkey: bytes | None = None, uid: int | None = None
    ) -> None:
        """A burn registration: the next free uid, or the one that the rules prune."""
        if netuid not in state or not state[netuid].exists:
            return
        subnet = state[netuid] = state[netuid].edited()
        newcomer = hotkey or account("hot", self.seed, netuid, "op", serial)
        coldkey = account("cold", self.seed, netuid, "op", serial // 4)
        self.owners[newcomer] = coldkey
        old: bytes | None = None
        if len(subnet.hotkeys) < subnet.max_uids:
            seat, kind = len(subnet.hotkeys), Kind.APPEND
            subnet.append(newcomer, coldkey, block)
        else:
            chosen = subnet.to_prune(block) if uid is None else uid
            if chosen is None:
                return
            seat, kind, old = chosen, Kind.REPLACE, subnet.hotkeys[chosen]
            subnet.seat(seat, newcomer, coldkey, block)
        if netuid != ROOT:
            subnet.raise_burn(block)
        self._note(block, netuid, seat, kind, old, newcomer)
        self._event(block, "NeuronRegistered", (netuid, seat, newcomer))

    def swap_hotkey(self, state: State, block: int, serial: int, *, netuid: int, uid: int) -> None:
        """The owner of a seat changes its hotkey; the registration block stays."""
        subnet = state[netuid] = state[netuid].edited()
        old, new = subnet.hotkeys[uid], account("hot", self.seed, netuid, "swap", serial)
        subnet.hotkeys[uid] = new
        self.owners[new] = subnet.coldkeys[uid]
        self._note(block, netuid, uid, Kind.SWAP, old, new)
        payload = {"coldkey": subnet.coldkeys[uid], "old_hotkey": old, "new_hotkey": new, "netuid": netuid}
        self._event(block, "HotkeySwappedOnSubnet", payload)

    def trim(self, state: State, block: int, _serial: int, *, netuid: int, max_uids: int) -> None:
        """The owner lowers the number of seats; the weakest that are not immune go, the others are renumbered."""
        subnet = state[netuid] = state[netuid].edited()
        subnet.max_uids = max_uids
        keep = set(range(len(subnet.hotkeys)))
        for uid in sorted(keep, key=lambda seat: (subnet.emission[seat], -seat)):
            if len(keep) <= max_uids:
                break
            immune = block - subnet.registered[uid] < subnet.immunity_blocks
            if subnet.hotkeys[uid] != subnet.owner_hotkey and not immune:
                keep.discard(uid)
                self._note(block, netuid, uid, Kind.TRIM, subnet.hotkeys[uid], None)
        subnet.keep_only(keep)
        self._event(block, "MaxAllowedUidsSet", (netuid, max_uids))

    def dissolve(self, state: State, block: int, _serial: int, *, netuid: int) -> None:
        """The subnet leaves the list of networks; its rows stay until they are purged."""
        subnet = state[netuid] = state[netuid].edited()
        subnet.exists = False
        for uid, hotkey in enumerate(subnet.hotkeys):
            self._note(block, netuid, uid, Kind.DISSOLVE, hotkey, None)
        self._event(block, "NetworkRemoved", netuid)

    def purge(self, state: State, _block: int, _serial: int, *, netuid: int) -> None:
        """The rows of a dissolved subnet go."""
        state.pop(netuid, None)

    def create(self, state: State, block: int, serial: int, *, netuid: int, name: str) -> None:
        """A new subnet takes a free number; its owner has the first seat."""
        subnet = state[netuid] = Subnet(netuid, block, name=name, version=1_000_000 + serial)
        subnet.append(subnet.owner_hotkey, subnet.owner_coldkey, block)
        self.owners[subnet.owner_hotkey] = subnet.owner_coldkey
        self._note(block, netuid, 0, Kind.APPEND, None, subnet.owner_hotkey)
        self._event(block, "NetworkAdded", (netuid, 1))

    # Block identity and time

    @property
    def finalized(self) -> int:
        return self.head - self.lag

    def runtime(self, block: int) -> Runtime:
        """The runtime that the node reports at this block, the one that will execute its child."""
        return [runtime for first, runtime in self.runtimes if first <= block or first == self.runtimes[0][0]][-1]

    def writer(self, block: int) -> Runtime:
        """The runtime that wrote the state of this block: its parent's."""
        return self.runtime(max(0, block - 1))

    def hash_of(self, number: int) -> str:
        fork = self.fork if number > self.finalized else 0
        digest = "0x" + hashlib.blake2b(f"{self.seed}/{number}/{fork}".encode(), digest_size=32).hexdigest()
        self._numbers[digest] = number
        return digest

    def number_of(self, block_hash: str) -> int | None:
        return self._numbers.get(block_hash)

    def time_milliseconds(self, block: int) -> int:
        """The block's own clock, lost slots included."""
        lost = sum(milliseconds for at, milliseconds in self.outages if at <= block)
        return 1_700_000_000_000 + block * SLOT_MILLISECONDS + lost

"""Random-access probes: chains of steps that each wait for many reads all over the matrix (spec graval 4.6)."""

from collections.abc import Callable
from typing import Final

import numpy as np

from graval.primitives import UInt64Array, little_endian, multiply_high, splitmix64, tagged_hash

STATES_IN_LEAF: Final = 64
CellReader = Callable[[UInt64Array], UInt64Array]
"""Cell numbers -> the first 16 bytes of each, uint64 of shape (lanes, 2)."""
ChaseState = tuple[int, int]
_LANE_SPREAD: Final = 0xD1B54A32D192ED03
_WORD: Final = (1 << 64) - 1


def lane_offsets(lanes: int) -> UInt64Array:
    """What each lane mixes into the state."""
    return np.arange(1, lanes + 1, dtype=np.uint64) * np.uint64(_LANE_SPREAD)


def initial_state(seed: bytes, group: int, nonce: bytes) -> ChaseState:
    """State of a group before its first step."""
    digest = tagged_hash("chase", seed, little_endian(group, 4), nonce)
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")


def next_state(state: ChaseState, offsets: UInt64Array, cells: int, read: CellReader) -> ChaseState:
    """One step: every lane reads one cell, and the next state needs all of them."""
    low, high = state
    address = splitmix64(np.uint64(low) ^ offsets)
    content = read(multiply_high(address, cells))
    first = int(splitmix64(content[:, 0] ^ address).sum(dtype=np.uint64))
    second = int(splitmix64(content[:, 1] + address).sum(dtype=np.uint64))
    new_low = _mix(low ^ first)
    rotated = ((new_low << 17) | (new_low >> 47)) & _WORD
    return new_low, _mix(high ^ second ^ rotated)


def state_bytes(state: ChaseState) -> bytes:
    """A state as it is logged."""
    return little_endian(state[0], 8) + little_endian(state[1], 8)


def leaves_in_group(steps: int) -> int:
    """Leaves that a group's log of states after steps 1 to `steps` takes."""
    return -(-steps // STATES_IN_LEAF)


def _mix(value: int) -> int:
    return int(splitmix64(np.array([value], dtype=np.uint64))[0])

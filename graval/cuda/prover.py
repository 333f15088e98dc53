"""The prover whose arithmetic runs on a GPU. Bit for bit the same answers as the reference."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np

from graval.chase import initial_state
from graval.cuda.library import Device, RoundKeys
from graval.merkle import PartialTree, tree_depth
from graval.messages import ChaseRequest, LockedRound
from graval.primitives import Int32Array, UInt64Array, little_endian, tagged_hash
from graval.prover import RoundState, SessionProver
from graval.session import Session, WorkLimits

#: Levels below this one are made again at an opening: a round's tree then takes a 64th of its memory.
CUT: Final = 6


class CudaProver(SessionProver):
    """Holds the matrix in the memory of one device, which is closed with the prover."""

    def __init__(self, session: Session, device: Device, limits: WorkLimits | None = None) -> None:
        super().__init__(session, limits)
        self._device = device
        self._is_filled = False
        self._dense_inner = 0

    def fill(self) -> None:
        """See `SessionProver`."""
        parameters = self.session.parameters
        self._device.fill(self.seed, parameters.rows, parameters.inner, parameters.chain_length)
        self._is_filled = True

    def release(self) -> None:
        """See `SessionProver`."""
        self._device.close()

    def _filled(self) -> Device:
        if not self._is_filled:
            self.fill()
        return self._device

    def _keys(self, state: RoundState) -> RoundKeys:
        binding = (self.seed, little_endian(state.number, 4), state.previous)
        return RoundKeys(tagged_hash("x", *binding), tagged_hash("w", *binding), state.columns)

    def round_tree(self, state: RoundState) -> PartialTree:
        """See `SessionProver`."""
        parameters, keys = self.session.parameters, self._keys(state)
        depth = tree_depth(parameters.tiles)
        cut = min(CUT, depth)
        upper = self._filled().sweep(keys, parameters.tile_rows, cut, 1 << (depth - cut))
        return PartialTree(parameters.tiles, cut, upper, partial(self._device.open_tiles, keys, parameters.tile_rows))

    def group_logs(self, request: ChaseRequest) -> Sequence[bytes]:
        """See `SessionProver`."""
        states = [initial_state(self.seed, group, request.nonce) for group in range(request.groups)]
        return self._filled().chase(np.array(states, dtype=np.uint64), self.session.parameters.lanes, request.steps)

    def multiply_dense(self, inner: int) -> Sequence[bytes]:
        """See `SessionProver`."""
        leaves = self._device.matmul_commit(tagged_hash("fa", self.seed), tagged_hash("fb", self.seed), inner)
        self._dense_inner = inner
        return leaves

    def dense_image(self, vector: UInt64Array) -> UInt64Array:
        """See `SessionProver`."""
        return self._device.matmul_image(vector)

    def dense_row(self, row: int) -> Int32Array:
        """See `SessionProver`."""
        return self._device.matmul_row(row, self._dense_inner)

    def locked_fingerprints(self, state: RoundState, locked: LockedRound) -> Mapping[bytes, bytes]:
        """See `SessionProver`."""
        return self._filled().lock_scan(self._keys(state), locked.salt, locked.tags)

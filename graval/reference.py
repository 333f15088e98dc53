"""The prover in NumPy: every formula of the scheme on a CPU, slow, for small sizes, bit-exact."""

from collections.abc import Mapping, Sequence

import numpy as np

from graval.chase import initial_state, lane_offsets, next_state, state_bytes
from graval.dense import dense_operands, product_leaf
from graval.labels import label_rows
from graval.lock import row_tag
from graval.matmul import MERSENNE_61, multiply_int8, multiply_modular
from graval.merkle import MerkleTree
from graval.messages import ChaseRequest, LockedRound
from graval.primitives import Int8Array, Int32Array, UInt64Array
from graval.prover import RoundState, SessionProver
from graval.session import Session, WorkLimits
from graval.sweep import RoundInput, fingerprint_bytes, fingerprint_rows, round_input, tile_leaf

_NO_PRODUCT = np.zeros((0, 0), dtype=np.int32)


class ReferenceProver(SessionProver):
    """Holds one session's matrix in this process' memory."""

    def __init__(self, session: Session, limits: WorkLimits | None = None) -> None:
        super().__init__(session, limits)
        self._rows: Int8Array | None = None
        self.product: Int32Array = _NO_PRODUCT

    def fill(self) -> None:
        """See `SessionProver`."""
        self._rows = self._make_rows()

    def release(self) -> None:
        """See `SessionProver`."""
        self._rows, self.product = None, _NO_PRODUCT

    @property
    def rows(self) -> Int8Array:
        """The label matrix."""
        if self._rows is None:
            self._rows = self._make_rows()
        return self._rows

    def _make_rows(self) -> Int8Array:
        return label_rows(self.seed, range(self.session.parameters.rows), self.session.parameters)

    def _inputs(self, state: RoundState) -> RoundInput:
        return round_input(self.seed, state.number, state.previous, self.session.parameters.inner, state.columns)

    def fingerprints(self, inputs: RoundInput) -> UInt64Array:
        """Fingerprints of all rows in one round."""
        return fingerprint_rows(self.rows, inputs)

    def round_tree(self, state: RoundState) -> MerkleTree:
        """See `SessionProver`."""
        parameters = self.session.parameters
        tiles = self.fingerprints(self._inputs(state)).reshape(parameters.tiles, parameters.tile_rows, 2)
        return MerkleTree.build([tile_leaf(index, tile) for index, tile in enumerate(tiles)])

    def read_cells(self, cells: UInt64Array) -> UInt64Array:
        """The first two words of cells."""
        words: UInt64Array = self.rows.reshape(-1, 32).view("<u8")[cells.astype(np.int64), :2]
        return words

    def group_logs(self, request: ChaseRequest) -> Sequence[bytes]:
        """See `SessionProver`."""
        offsets, logs = lane_offsets(self.session.parameters.lanes), []
        for group in range(request.groups):
            state, log = initial_state(self.seed, group, request.nonce), []
            for _ in range(request.steps):
                state = next_state(state, offsets, self.session.parameters.cells, self.read_cells)
                log.append(state_bytes(state))
            logs.append(b"".join(log))
        return logs

    def multiply_dense(self, inner: int) -> Sequence[bytes]:
        """See `SessionProver`."""
        self.product = multiply_int8(*dense_operands(self.seed, inner))
        return [product_leaf(row, self.product[row]) for row in range(inner)]

    def dense_image(self, vector: UInt64Array) -> UInt64Array:
        """See `SessionProver`."""
        return multiply_modular(self.product, vector, MERSENNE_61)

    def dense_row(self, row: int) -> Int32Array:
        """See `SessionProver`."""
        found: Int32Array = self.product[row]
        return found

    def locked_fingerprints(self, state: RoundState, locked: LockedRound) -> Mapping[bytes, bytes]:
        """See `SessionProver`."""
        made = map(fingerprint_bytes, self.fingerprints(self._inputs(state)))
        return {row_tag(locked.salt, one): one for one in made}

"""The prover in NumPy: every formula of the scheme on a CPU, slow, for small sizes, bit-exact.

It holds one session's matrix and the logs of its phases. It refuses whatever the limits forbid before it allocates,
and answers a phase only in the protocol's order: commitment first, questions after.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from graval.backends.base import ProtocolOrderError
from graval.chase import STATES_IN_LEAF, initial_state, lane_offsets, leaves_in_group, next_state, state_bytes
from graval.dense import dense_operands, product_leaf, random_vector
from graval.labels import label_rows
from graval.lock import LockRefusedError, check_lock_header, round_key, row_tag
from graval.matmul import MERSENNE_61, multiply_int8, multiply_modular
from graval.merkle import MerkleTree, leaf_digest
from graval.messages import (
    ChaseChoice,
    ChaseLeaf,
    ChaseOpening,
    ChaseRequest,
    DenseAnswer,
    DenseRequest,
    DenseRow,
    LockHeader,
    SweepRequest,
    TileChoice,
    TileOpening,
)
from graval.primitives import Int8Array, Int32Array, UInt64Array
from graval.session import ParameterRefusedError, Session, WorkLimits
from graval.sweep import RoundInput, fingerprint_bytes, fingerprint_rows, round_input, tile_leaf


@dataclass(frozen=True)
class _ChaseLog:
    leaves: tuple[bytes, ...]
    leaves_per_group: int
    steps: int
    tree: MerkleTree


class ReferenceProver:
    """Prover of one session on the CPU. Not thread-safe; one phase of each kind at a time."""

    def __init__(self, session: Session, limits: WorkLimits | None = None) -> None:
        """Raises ParameterRefusedError when the session's work exceeds the limits or the device's memory."""
        self.session = session
        self.limits = limits or WorkLimits()
        self.limits.check(session.parameters)
        if session.parameters.fill_bytes > session.device.memory:
            raise ParameterRefusedError(
                f"fill of {session.parameters.fill_bytes} bytes, the device has {session.device.memory}"
            )
        self.seed = session.seed()
        self._rows: Int8Array | None = None
        self._sweep: tuple[MerkleTree, ...] | None = None
        self._chase: _ChaseLog | None = None
        self._dense: tuple[Int32Array, MerkleTree] | None = None

    def fill(self) -> None:
        """Make the label matrix; later phases do it themselves if it was not asked for."""
        self._rows = label_rows(self.seed, range(self.session.parameters.rows), self.session.parameters)

    def close(self) -> None:
        """Forget the matrix and all logs."""
        self._rows = self._sweep = self._chase = self._dense = None

    @property
    def rows(self) -> Int8Array:
        """The label matrix."""
        if self._rows is None:
            self.fill()
        if self._rows is None:
            raise ProtocolOrderError("the matrix was not made")
        return self._rows

    def fingerprints(self, inputs: RoundInput) -> UInt64Array:
        """Fingerprints of all rows in one round."""
        return fingerprint_rows(self.rows, inputs)

    def sweep(self, request: SweepRequest) -> tuple[bytes, ...]:
        """All rounds of a sweep phase; answers with their roots. Raises ParameterRefusedError."""
        parameters = self.session.parameters
        self.limits.check_count("columns", request.columns, parameters.columns)
        self.limits.check_count("rounds", request.rounds, parameters.rounds)
        previous, trees = request.start, []
        for number in range(1, request.rounds + 1):
            prints = self.fingerprints(round_input(self.seed, number, previous, parameters.inner, request.columns))
            tiles = prints.reshape(parameters.tiles, parameters.tile_rows, 2)
            trees.append(MerkleTree.build([tile_leaf(index, tile) for index, tile in enumerate(tiles)]))
            previous = trees[-1].root
        self._sweep = tuple(trees)
        return tuple(tree.root for tree in trees)

    def open_tiles(self, choices: Iterable[TileChoice]) -> tuple[TileOpening, ...]:
        """Paths of the tiles asked for. Raises ProtocolOrderError before a sweep, ParameterRefusedError off range."""
        if self._sweep is None:
            raise ProtocolOrderError("tiles were asked for before any sweep was committed")
        asked = tuple(choices)
        self.limits.check_count("openings", len(asked), self.limits.openings)
        for choice in asked:
            self.limits.check_count("round", choice.round, len(self._sweep))
            self.limits.check_count("tile + 1", choice.tile + 1, self.session.parameters.tiles)
        return tuple(
            TileOpening(round=choice.round, tile=choice.tile, path=self._sweep[choice.round - 1].path(choice.tile))
            for choice in asked
        )

    def read_cells(self, cells: UInt64Array) -> UInt64Array:
        """The first two words of cells."""
        words: UInt64Array = self.rows.reshape(-1, 32).view("<u8")[cells.astype(np.int64), :2]
        return words

    def chase(self, request: ChaseRequest) -> bytes:
        """All steps of all groups; answers with the root over the log. Raises ParameterRefusedError."""
        self.limits.check_count("groups", request.groups, self.limits.chase_groups)
        self.limits.check_count("steps", request.steps, self.limits.chase_steps)
        parameters = self.session.parameters
        offsets = lane_offsets(parameters.lanes)
        leaves = []
        for group in range(request.groups):
            state, log = initial_state(self.seed, group, request.nonce), []
            for _ in range(request.steps):
                state = next_state(state, offsets, parameters.cells, self.read_cells)
                log.append(state_bytes(state))
            leaves += [b"".join(log[at : at + STATES_IN_LEAF]) for at in range(0, len(log), STATES_IN_LEAF)]
        tree = MerkleTree.build([leaf_digest(index, leaf) for index, leaf in enumerate(leaves)])
        self._chase = _ChaseLog(tuple(leaves), leaves_in_group(request.steps), request.steps, tree)
        return tree.root

    def logged_states(self, group: int) -> bytes:
        """The log of a group, 16 bytes for each step. Raises ProtocolOrderError."""
        log = self._chase
        if log is None:
            raise ProtocolOrderError("the log was asked for before any chase was run")
        return b"".join(log.leaves[group * log.leaves_per_group : (group + 1) * log.leaves_per_group])

    def open_steps(self, choices: Iterable[ChaseChoice]) -> tuple[ChaseOpening, ...]:
        """Leaves around the steps asked for. Raises ProtocolOrderError, ParameterRefusedError."""
        log = self._chase
        if log is None:
            raise ProtocolOrderError("steps were asked for before any chase was committed")
        asked = tuple(choices)
        self.limits.check_count("openings", len(asked), self.limits.openings)
        return tuple(self._open_step(log, choice) for choice in asked)

    def _open_step(self, log: _ChaseLog, choice: ChaseChoice) -> ChaseOpening:
        self.limits.check_count("group + 1", choice.group + 1, len(log.leaves) // log.leaves_per_group)
        self.limits.check_count("step", choice.step, log.steps)
        base = choice.group * log.leaves_per_group
        positions = {base + max(choice.step - 2, 0) // STATES_IN_LEAF, base + (choice.step - 1) // STATES_IN_LEAF}
        leaves = tuple(
            ChaseLeaf(index=index, states=log.leaves[index], path=log.tree.path(index)) for index in sorted(positions)
        )
        return ChaseOpening(group=choice.group, step=choice.step, leaves=leaves)

    def commit_dense(self, inner: int) -> bytes:
        """Dense product; answers with the root over its rows. Raises ParameterRefusedError."""
        self.limits.check_count("dense inner", inner, self.limits.dense_inner)
        left, right = dense_operands(self.seed, inner)
        product = multiply_int8(left, right)
        tree = MerkleTree.build([product_leaf(row, product[row]) for row in range(inner)])
        self._dense = product, tree
        return tree.root

    def answer_dense(self, request: DenseRequest) -> DenseAnswer:
        """Image of the random vector and the rows asked for. Raises ProtocolOrderError before the commitment."""
        if self._dense is None:
            raise ProtocolOrderError("the random vector came before the product was committed")
        product, tree = self._dense
        self.limits.check_count("openings", len(request.rows), self.limits.openings)
        for row in request.rows:
            self.limits.check_count("row + 1", row + 1, len(product))
        vector = random_vector(self.seed, tree.root, request.nonce, len(product))
        image = multiply_modular(product, vector, MERSENNE_61)
        rows = tuple(
            DenseRow(row=row, product=product[row].astype("<i4").tobytes(), path=tree.path(row)) for row in request.rows
        )
        return DenseAnswer(image=image.astype("<u8").tobytes(), rows=rows)

    def open_lock(self, header: LockHeader) -> bytes:
        """The work key of a lock header. Raises LockRefusedError when a tag belongs to none of the rows held."""
        check_lock_header(header, self.session)
        previous = header.start
        for number, locked in enumerate(header.rounds, start=1):
            inputs = round_input(self.seed, number, previous, self.session.parameters.inner, header.columns)
            known = {row_tag(locked.salt, one): one for one in map(fingerprint_bytes, self.fingerprints(inputs))}
            missing = sum(tag not in known for tag in locked.tags)
            if missing:
                raise LockRefusedError(f"round {number}: {missing} of {len(locked.tags)} tags match no row")
            previous = round_key(self.seed, number, [known[tag] for tag in locked.tags])
        return previous

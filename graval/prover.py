"""One session of proving, whoever does the arithmetic: limits before work, commitments before questions.

A back end fills in the hooks. It refuses whatever the limits forbid before it allocates, and answers a phase only in
the protocol's order.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from graval.backends.base import ProtocolOrderError
from graval.chase import STATES_IN_LEAF, leaves_in_group
from graval.dense import random_vector
from graval.lock import LockRefusedError, check_lock_header, round_key
from graval.merkle import MerkleTree, leaf_digest
from graval.messages import (
    ChaseChoice,
    ChaseLeaf,
    ChaseOpening,
    ChaseRequest,
    DenseAnswer,
    DenseRequest,
    DenseRow,
    LockedRound,
    LockHeader,
    SweepRequest,
    TileChoice,
    TileOpening,
)
from graval.primitives import Int32Array, UInt64Array
from graval.session import ParameterRefusedError, Session, WorkLimits


@dataclass(frozen=True)
class RoundState:
    """What a round starts from: its number, counted from 1, the state before it, and its width."""

    number: int
    previous: bytes
    columns: int


class RoundTree(Protocol):
    """The committed tree of one round."""

    @property
    def root(self) -> bytes:
        """The commitment."""
        ...

    def path(self, index: int) -> tuple[bytes, ...]:
        """Siblings of a leaf, from the bottom up."""
        ...


@dataclass(frozen=True)
class _ChaseLog:
    leaves: tuple[bytes, ...]
    leaves_per_group: int
    steps: int
    tree: MerkleTree


class SessionProver(ABC):
    """Prover of one session. Not thread-safe; one phase of each kind at a time."""

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
        self._sweep: tuple[RoundTree, ...] | None = None
        self._chase: _ChaseLog | None = None
        self._dense: MerkleTree | None = None

    @abstractmethod
    def fill(self) -> None:
        """Make the label matrix; later phases do it themselves if it was not asked for."""

    @abstractmethod
    def round_tree(self, state: RoundState) -> RoundTree:
        """Tree over the fingerprints of all rows in one round."""

    @abstractmethod
    def group_logs(self, request: ChaseRequest) -> Sequence[bytes]:
        """States after every step, 16 bytes each, for each group."""

    @abstractmethod
    def multiply_dense(self, inner: int) -> Sequence[bytes]:
        """Make the dense product; answers with a leaf for each row."""

    @abstractmethod
    def dense_image(self, vector: UInt64Array) -> UInt64Array:
        """The product times a vector of residues modulo 2^61 - 1."""

    @abstractmethod
    def dense_row(self, row: int) -> Int32Array:
        """One row of the product."""

    @abstractmethod
    def locked_fingerprints(self, state: RoundState, locked: LockedRound) -> Mapping[bytes, bytes]:
        """Fingerprints by tag, for those tags that belong to a row."""

    @abstractmethod
    def release(self) -> None:
        """Give the memory of matrix and product back."""

    def close(self) -> None:
        """Forget the matrix and all logs."""
        self._sweep = self._chase = self._dense = None
        self.release()

    def sweep(self, request: SweepRequest) -> tuple[bytes, ...]:
        """All rounds of a sweep phase; answers with their roots. Raises ParameterRefusedError."""
        parameters = self.session.parameters
        self.limits.check_count("columns", request.columns, parameters.columns)
        self.limits.check_count("rounds", request.rounds, parameters.rounds)
        previous, trees = request.start, list[RoundTree]()
        for number in range(1, request.rounds + 1):
            trees.append(self.round_tree(RoundState(number, previous, request.columns)))
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

    def chase(self, request: ChaseRequest) -> bytes:
        """All steps of all groups; answers with the root over the log. Raises ParameterRefusedError."""
        self.limits.check_count("groups", request.groups, self.limits.chase_groups)
        self.limits.check_count("steps", request.steps, self.limits.chase_steps)
        self.limits.check_count("groups times steps", request.groups * request.steps, self.limits.logged_steps)
        size = 16 * STATES_IN_LEAF
        logs = self.group_logs(request)
        leaves = tuple(log[at : at + size] for log in logs for at in range(0, len(log), size))
        tree = MerkleTree.build([leaf_digest(index, leaf) for index, leaf in enumerate(leaves)])
        self._chase = _ChaseLog(leaves, leaves_in_group(request.steps), request.steps, tree)
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
        self._dense = MerkleTree.build(self.multiply_dense(inner))
        return self._dense.root

    def answer_dense(self, request: DenseRequest) -> DenseAnswer:
        """Image of the random vector and the rows asked for. Raises ProtocolOrderError before the commitment."""
        tree = self._dense
        if tree is None:
            raise ProtocolOrderError("the random vector came before the product was committed")
        self.limits.check_count("rows", len(request.rows), self.limits.dense_rows)
        for row in request.rows:
            self.limits.check_count("row + 1", row + 1, tree.leaf_count)
        image = self.dense_image(random_vector(self.seed, tree.root, request.nonce, tree.leaf_count))
        rows = tuple(
            DenseRow(row=row, product=self.dense_row(row).astype("<i4").tobytes(), path=tree.path(row))
            for row in request.rows
        )
        return DenseAnswer(image=image.astype("<u8").tobytes(), rows=rows)

    def open_lock(self, header: LockHeader) -> bytes:
        """The work key of a lock header. Raises LockRefusedError when a tag belongs to none of the rows held."""
        check_lock_header(header, self.session)
        previous = header.start
        for number, locked in enumerate(header.rounds, start=1):
            known = self.locked_fingerprints(RoundState(number, previous, header.columns), locked)
            missing = sum(tag not in known for tag in locked.tags)
            if missing:
                raise LockRefusedError(f"round {number}: {missing} of {len(locked.tags)} tags match no row")
            previous = round_key(self.seed, number, [known[tag] for tag in locked.tags])
        return previous

"""The verifier of commit mode: asks after the commitment, makes the few rows he needs himself, on a CPU.

Every check raises ProofRejectedError with the reason, and returns nothing when the proof holds (spec graval 4.7, 4.9).
"""

from collections.abc import Sequence
from random import Random

import numpy as np

from graval.chase import (
    STATES_IN_LEAF,
    ChaseState,
    initial_state,
    lane_offsets,
    leaves_in_group,
    next_state,
    state_bytes,
)
from graval.dense import dense_operands, product_leaf, random_vector
from graval.labels import label_rows, row_prefix
from graval.matmul import MERSENNE_61, multiply_modular
from graval.merkle import leaf_digest, path_is_valid
from graval.messages import (
    ChaseChoice,
    ChaseOpening,
    ChaseRequest,
    DenseAnswer,
    DenseRequest,
    SweepRequest,
    TileChoice,
    TileOpening,
)
from graval.primitives import DIGEST_BYTES, UInt64Array
from graval.session import Session, WorkParameters
from graval.sweep import RoundInput, fingerprint_rows, round_input, tile_leaf


class ProofRejectedError(ValueError):
    """The proof does not hold; the message says where."""


def choose_tiles(parameters: WorkParameters, rounds: int, count: int, random: Random) -> tuple[TileChoice, ...]:
    """Distinct tiles, uniform over rounds and tiles; all of them when fewer exist.

    `random` must be a `secrets.SystemRandom` outside tests, and drawn from only once the roots are here.
    """
    total = rounds * parameters.tiles
    picked = random.sample(range(total), min(count, total))
    return tuple(TileChoice(round=at // parameters.tiles + 1, tile=at % parameters.tiles) for at in picked)


def verify_sweep(
    session: Session,
    request: SweepRequest,
    roots: Sequence[bytes],
    choices: Sequence[TileChoice],
    openings: Sequence[TileOpening],
) -> None:
    """Check opened tiles against the roots: each tile's rows are made and multiplied again."""
    parameters, seed = session.parameters, session.seed()
    if len(roots) != request.rounds:
        raise ProofRejectedError(f"{len(roots)} roots for {request.rounds} rounds")
    asked = [(choice.round, choice.tile) for choice in choices]
    if not asked or len(set(asked)) != len(asked):
        raise ProofRejectedError("ask for at least one tile, and for none twice")
    if [(opening.round, opening.tile) for opening in openings] != asked:
        raise ProofRejectedError("the opened tiles are not those that were asked for, in that order")
    states = (request.start, *roots)
    for number in sorted({choice.round for choice in choices}):
        inputs = round_input(seed, number, states[number - 1], parameters.inner, request.columns)
        opened = [opening for opening in openings if opening.round == number]
        for opening, leaf in zip(opened, _made_leaves(seed, parameters, inputs, opened), strict=True):
            if not path_is_valid(states[number], parameters.tiles, opening.tile, leaf, opening.path):
                raise ProofRejectedError(f"tile {opening.tile} of round {number} is not under its root")


def _made_leaves(
    seed: bytes, parameters: WorkParameters, inputs: RoundInput, openings: Sequence[TileOpening]
) -> list[bytes]:
    """Leaves of a round's tiles, made anew with one product: converting its operand costs more than 16 rows of it."""
    rows = [
        opening.tile * parameters.tile_rows + offset for opening in openings for offset in range(parameters.tile_rows)
    ]
    prints = fingerprint_rows(label_rows(seed, rows, parameters), inputs)
    tiles = prints.reshape(len(openings), parameters.tile_rows, 2)
    return [tile_leaf(opening.tile, tile) for opening, tile in zip(openings, tiles, strict=True)]


def choose_steps(request: ChaseRequest, count: int, random: Random) -> tuple[ChaseChoice, ...]:
    """Distinct steps, uniform over groups and steps; the same rules as for tiles."""
    total = request.groups * request.steps
    picked = random.sample(range(total), min(count, total))
    return tuple(ChaseChoice(group=at // request.steps, step=at % request.steps + 1) for at in picked)


def verify_chase(
    session: Session,
    request: ChaseRequest,
    root: bytes,
    choices: Sequence[ChaseChoice],
    openings: Sequence[ChaseOpening],
) -> None:
    """Check opened steps: the state before each must lead to the state after it."""
    asked = [(choice.group, choice.step) for choice in choices]
    if not asked or len(set(asked)) != len(asked):
        raise ProofRejectedError("ask for at least one step, and for none twice")
    if [(opening.group, opening.step) for opening in openings] != asked:
        raise ProofRejectedError("the opened steps are not those that were asked for, in that order")
    seed, parameters = session.seed(), session.parameters
    offsets = lane_offsets(parameters.lanes)

    def read(cells: UInt64Array) -> UInt64Array:
        return _made_cells(seed, parameters, cells)

    for opening in openings:
        before, after = _states_around(seed, request, root, opening)
        if state_bytes(next_state(before, offsets, parameters.cells, read)) != after:
            raise ProofRejectedError(
                f"step {opening.step} of group {opening.group} does not follow from the one before"
            )


def _states_around(seed: bytes, request: ChaseRequest, root: bytes, opening: ChaseOpening) -> tuple[ChaseState, bytes]:
    """States before and after a step, out of leaves that were checked against the root."""
    per_group = leaves_in_group(request.steps)
    log: dict[int, bytes] = {}
    for leaf in opening.leaves:
        at = leaf.index - opening.group * per_group
        held = min(STATES_IN_LEAF, request.steps - at * STATES_IN_LEAF)
        is_sized = 0 <= at < per_group and len(leaf.states) == 16 * held
        digest = leaf_digest(leaf.index, leaf.states) if is_sized else b""
        if not (is_sized and path_is_valid(root, request.groups * per_group, leaf.index, digest, leaf.path)):
            raise ProofRejectedError(f"log leaf {leaf.index} is not under the root")
        for index in range(held):
            log[at * STATES_IN_LEAF + index + 1] = leaf.states[16 * index : 16 * index + 16]
    if opening.step not in log or (opening.step > 1 and opening.step - 1 not in log):
        raise ProofRejectedError(f"the leaves opened do not hold step {opening.step} of group {opening.group}")
    if opening.step == 1:
        return initial_state(seed, opening.group, request.nonce), log[1]
    before = log[opening.step - 1]
    return (int.from_bytes(before[:8], "little"), int.from_bytes(before[8:], "little")), log[opening.step]


def _made_cells(seed: bytes, parameters: WorkParameters, cells: UInt64Array) -> UInt64Array:
    """Cells made anew, each from the beginning of its row."""
    per_row = parameters.inner // DIGEST_BYTES
    made = b"".join(
        row_prefix(seed, cell // per_row, cell % per_row + 1, parameters.chain_length)[-DIGEST_BYTES:][:16]
        for cell in map(int, cells)
    )
    return np.frombuffer(made, dtype="<u8").reshape(-1, 2)


def verify_dense(session: Session, inner: int, root: bytes, request: DenseRequest, answer: DenseAnswer) -> None:
    """Freivalds' check of the whole product, and the opened rows that tie it to the commitment."""
    if not request.rows or [row.row for row in answer.rows] != list(request.rows):
        raise ProofRejectedError("open at least one row, exactly those asked for")
    seed = session.seed()
    vector = random_vector(seed, root, request.nonce, inner)
    left, right = dense_operands(seed, inner)
    image = multiply_modular(left, multiply_modular(right, vector, MERSENNE_61), MERSENNE_61)
    if answer.image != image.astype("<u8").tobytes():
        raise ProofRejectedError("the image of the random vector is wrong")
    for opened in answer.rows:
        if len(opened.product) != 4 * inner:
            raise ProofRejectedError(f"row {opened.row} has {len(opened.product)} bytes, expected {4 * inner}")
        product = np.frombuffer(opened.product, dtype="<i4")
        if not path_is_valid(root, inner, opened.row, product_leaf(opened.row, product), opened.path):
            raise ProofRejectedError(f"row {opened.row} is not under the root")
        if multiply_modular(product.reshape(1, -1), vector, MERSENNE_61)[0] != image[opened.row]:
            raise ProofRejectedError(f"row {opened.row} does not give the image's entry")

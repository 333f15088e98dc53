"""Cheats against dense products and hidden rows, refusals, and the bounds of exactness (spec: graval 7.2)."""

import math
from random import Random

import numpy as np
import pytest

from graval.backends.base import ProtocolOrderError
from graval.dense import dense_operands, random_vector
from graval.lock import LockRefusedError, prepare_lock, row_tag
from graval.matmul import multiply_int8, multiply_modular
from graval.merkle import MerkleTree, leaf_digest, node_digest, path_is_valid
from graval.messages import ChaseChoice, ChaseRequest, DenseRequest, LockHeader, SweepRequest, TileChoice
from graval.primitives import Int8Array, UInt64Array
from graval.reference import ReferenceProver
from graval.session import ParameterRefusedError, Session, WorkLimits, WorkParameters, nonce_of_integer_seed
from graval.sweep import RoundInput, fingerprint_bytes, fingerprint_product, round_input
from graval.verifier import ProofRejectedError, verify_dense
from tests.support.graval_sessions import made_up_device, small_parameters, vector_session

NONCE = bytes(32)


class PartialProver(ReferenceProver):
    """Holds a part of its rows and makes up the others."""

    held = frozenset[int]()

    def fingerprints(self, inputs: RoundInput) -> UInt64Array:
        prints = super().fingerprints(inputs)
        prints[[row for row in range(len(prints)) if row not in self.held]] = 0
        return prints


def random_matrix(random: np.random.Generator, rows: int, columns: int) -> Int8Array:
    return random.integers(-128, 128, (rows, columns), dtype=np.int8)


@pytest.mark.parametrize("inner", [1, 31, 1024, 1025, 4096])
def test_every_way_to_multiply_gives_the_same_integers(inner: int) -> None:
    random = np.random.default_rng(inner)
    left, right = random_matrix(random, 5, inner), random_matrix(random, inner, 3)
    expected = left.astype(np.int64) @ right.astype(np.int64)
    order = random.permutation(inner)
    split = inner // 3
    assert np.array_equal(multiply_int8(left, right), expected)
    assert np.array_equal(left.astype(np.float64) @ right.astype(np.float64), expected)
    assert np.array_equal(multiply_int8(left[:, order], right[order]), expected)
    parts = multiply_int8(left[:, :split], right[:split]) + multiply_int8(left[:, split:], right[split:])
    assert np.array_equal(parts, expected)


def test_extreme_entries_stay_exact_up_to_the_largest_inner_size_and_are_refused_beyond() -> None:
    row = np.full((1, 131_071), -128, dtype=np.int8)
    assert multiply_int8(row, row.T)[0, 0] == 131_071 * 128 * 128
    too_long = np.zeros((1, 131_072), dtype=np.int8)
    with pytest.raises(ValueError, match="131072"):
        multiply_int8(too_long, too_long.T)


def test_modular_products_of_extreme_entries_agree_with_unbounded_integers() -> None:
    modulus = (1 << 61) - 1
    vector = np.full(2048, modulus - 1, dtype=np.uint64)
    for kind in (np.int8, np.int32):
        for entry in (np.iinfo(kind).min, np.iinfo(kind).max):
            matrix = np.full((1, 2048), entry, dtype=kind)
            assert multiply_modular(matrix, vector, modulus)[0] == int(entry) * (modulus - 1) * 2048 % modulus
    with pytest.raises(ValueError, match="16385"):
        multiply_modular(np.zeros((1, 16385), dtype=np.int8), vector, modulus)
    with pytest.raises(ValueError, match="64 bits"):
        multiply_modular(np.zeros((1, 2048), dtype=np.int8), vector, (1 << 64) - 1)


def test_fingerprints_do_not_depend_on_the_order_of_reduction() -> None:
    prover = ReferenceProver(vector_session())
    inputs = round_input(prover.seed, 1, NONCE, 64, 8)
    product = multiply_int8(prover.rows, inputs.operand)
    expected = fingerprint_product(product, inputs)
    for trial in range(20):
        order = np.random.default_rng(trial).permutation(8)
        shuffled = RoundInput(
            inputs.operand, inputs.mask[order], inputs.first_weight[order], inputs.second_weight[order]
        )
        assert np.array_equal(fingerprint_product(np.ascontiguousarray(product[:, order]), shuffled), expected)


@pytest.mark.parametrize("modulus", [2, 3, 5, 17, 251])
def test_one_wrong_entry_escapes_freivalds_at_the_rate_of_1_to_p(modulus: int) -> None:
    random, trials, inner, escaped = np.random.default_rng(modulus), 600, 6, 0
    left, right = random_matrix(random, inner, inner), random_matrix(random, inner, inner)
    wrong = multiply_int8(left, right)
    wrong[2, 3] += 1
    for _ in range(trials):
        vector = random.integers(0, modulus, inner, dtype=np.uint64)
        image = multiply_modular(left, multiply_modular(right, vector, modulus), modulus)
        escaped += np.array_equal(multiply_modular(wrong, vector, modulus), image)
    rate = 1 / modulus
    assert abs(escaped - trials * rate) <= 3 * math.sqrt(trials * rate * (1 - rate))


def test_a_prover_that_answers_without_a_product_is_rejected_once_a_row_is_opened() -> None:
    session = vector_session()
    prover = ReferenceProver(session)
    junk = np.ones((8, 8), dtype=np.int32)
    prover.product = junk
    prover._dense = MerkleTree.build([leaf_digest(row, junk[row].tobytes()) for row in range(8)])
    root = prover._dense.root
    request = DenseRequest(nonce=NONCE, rows=(2,))
    answer = prover.answer_dense(request)
    with pytest.raises(ProofRejectedError, match="image"):
        verify_dense(session, 8, root, request, answer)
    modulus = (1 << 61) - 1
    left, right = dense_operands(session.seed(), 8)
    image = multiply_modular(
        left, multiply_modular(right, random_vector(session.seed(), root, NONCE, 8), modulus), modulus
    )
    forged = answer.model_copy(update={"image": image.tobytes()})
    with pytest.raises(ProofRejectedError, match="row 2 does not give"):
        verify_dense(session, 8, root, request, forged)
    with pytest.raises(ProofRejectedError, match="at least one row"):
        verify_dense(session, 8, root, DenseRequest(nonce=NONCE, rows=()), forged)


def test_questions_before_their_commitment_are_refused() -> None:
    prover = ReferenceProver(vector_session())
    with pytest.raises(ProtocolOrderError, match="vector"):
        prover.answer_dense(DenseRequest(nonce=NONCE, rows=(0,)))
    with pytest.raises(ProtocolOrderError, match="tiles"):
        prover.open_tiles([TileChoice(round=1, tile=0)])
    with pytest.raises(ProtocolOrderError, match="steps"):
        prover.open_steps([ChaseChoice(group=0, step=1)])
    with pytest.raises(ProtocolOrderError, match="log"):
        prover.logged_states(0)


def test_generated_matrices_have_full_rank_and_distinct_rows() -> None:
    prover = ReferenceProver(vector_session(small_parameters(rows=64)))
    inputs = round_input(prover.seed, 1, NONCE, 64, 64)
    for matrix in (prover.rows, inputs.operand, *dense_operands(prover.seed, 64)):
        assert np.linalg.matrix_rank(matrix.astype(np.float64)) == 64
        assert len(np.unique(matrix, axis=0)) == 64
        assert len(np.unique(matrix, axis=1).T) == 64


def test_a_prover_that_holds_a_share_g_of_rows_opens_a_lock_at_the_rate_of_g_to_the_k() -> None:
    session = vector_session(small_parameters(inner=32, columns=1, chain_length=1, rows=64))
    prover, random, trials, opened = PartialProver(session), Random(21), 600, 0
    prover.held = frozenset(range(48))
    for _ in range(trials):
        header, work_key = prepare_lock(session, 1, 1, 3, random)
        try:
            opened += prover.open_lock(header) == work_key
        except LockRefusedError:
            continue
    rate = 48 * 47 * 46 / (64 * 63 * 62)
    assert abs(opened - trials * rate) <= 3 * math.sqrt(trials * rate * (1 - rate))


def test_the_mean_share_of_rows_that_opens_a_lock_is_k_to_k_plus_1() -> None:
    session = vector_session(small_parameters(inner=32, columns=1, chain_length=1, rows=512))
    prover, random, shares, hidden = ReferenceProver(session), Random(22), [], 19
    for _ in range(150):
        header, _ = prepare_lock(session, 1, 1, hidden, random)
        locked = header.rounds[0]
        prints = prover.fingerprints(round_input(prover.seed, 1, header.start, 32, 1))
        tags, last = set(locked.tags), 0
        for row, one in enumerate(prints):
            last = row + 1 if row_tag(locked.salt, fingerprint_bytes(one)) in tags else last
        shares.append(last / 512)
    spread = math.sqrt(hidden / ((hidden + 1) ** 2 * (hidden + 2)) / len(shares))
    assert abs(np.mean(shares) - hidden / (hidden + 1)) <= 3 * spread + 1 / 512


def test_duplicate_missing_short_or_foreign_tags_are_refused_cleanly() -> None:
    session = vector_session()
    header, work_key = prepare_lock(session, 8, 2, 4, Random(7))
    prover, locked = ReferenceProver(session), header.rounds[0]

    def with_tags(*tags: bytes) -> LockHeader:
        return header.model_copy(update={"rounds": (locked.model_copy(update={"tags": tags}), header.rounds[1])})

    with pytest.raises(LockRefusedError, match="twice"):
        prover.open_lock(with_tags(locked.tags[0], locked.tags[0]))
    with pytest.raises(LockRefusedError, match="wrong length"):
        prover.open_lock(with_tags(locked.tags[0][:8]))
    with pytest.raises(LockRefusedError, match="1 of 2 tags"):
        prover.open_lock(with_tags(locked.tags[0], bytes(16)))
    with pytest.raises(LockRefusedError, match="round 2"):
        prover.open_lock(with_tags(*locked.tags[:3]))
    with pytest.raises(ParameterRefusedError, match="hidden rows"):
        prover.open_lock(with_tags())
    assert prover.open_lock(header) == work_key


def test_merkle_trees_refuse_confused_misplaced_and_misshapen_proofs() -> None:
    leaves = [leaf_digest(index, b"%d" % index) for index in range(5)]
    tree = MerkleTree.build(leaves)
    assert all(path_is_valid(tree.root, 5, index, leaf, tree.path(index)) for index, leaf in enumerate(leaves))
    inner = node_digest(leaves[0], leaves[1])
    assert not path_is_valid(tree.root, 5, 0, inner, tree.path(0)[1:])
    assert not path_is_valid(tree.root, 3, 0, inner, (*tree.path(0)[1:], bytes(31)))
    assert not path_is_valid(tree.root, 5, 0, leaves[0], (*tree.path(0), bytes(32)))
    assert not path_is_valid(tree.root, 5, 5, bytes(32), tree.path(4))
    assert not path_is_valid(tree.root, 5, 1, leaves[0], tree.path(0))
    assert leaf_digest(0, b"") != node_digest(b"", bytes(8))
    with pytest.raises(IndexError, match="5 of 5"):
        tree.path(5)
    with pytest.raises(ValueError, match="at least one leaf"):
        MerkleTree.build([])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("inner", 8192), ("inner", 33), ("inner", 0), ("columns", 1025), ("columns", 0), ("chain_length", 257),
        ("rows", 1 << 40), ("rows", 33), ("rows", 0), ("rounds", 513), ("tile_rows", 65), ("lanes", 1025),
    ],
)  # fmt: skip
def test_oversize_parameters_are_refused_before_anything_is_allocated(field: str, value: int) -> None:
    with pytest.raises(ParameterRefusedError, match=r"rows|fill|" + field):
        ReferenceProver(vector_session(small_parameters(**{field: value})))


def test_phases_larger_than_the_session_or_the_limits_are_refused() -> None:
    prover = ReferenceProver(vector_session(), WorkLimits(chase_steps=10, chase_groups=2, dense_inner=8, openings=1))
    for sweep in (SweepRequest(start=NONCE, columns=9, rounds=1), SweepRequest(start=NONCE, columns=1, rounds=3)):
        with pytest.raises(ParameterRefusedError):
            prover.sweep(sweep)
    for chase in (ChaseRequest(nonce=NONCE, groups=3, steps=1), ChaseRequest(nonce=NONCE, groups=1, steps=11)):
        with pytest.raises(ParameterRefusedError):
            prover.chase(chase)
    with pytest.raises(ParameterRefusedError, match="groups times steps is 33554433"):
        ReferenceProver(vector_session(), WorkLimits(chase_steps=1 << 26)).chase(
            ChaseRequest(nonce=NONCE, groups=1, steps=(1 << 25) + 1)
        )
    prover.commit_dense(8)
    with pytest.raises(ParameterRefusedError, match="rows is 65"):
        prover.answer_dense(DenseRequest(nonce=NONCE, rows=(0,) * 65))
    with pytest.raises(ParameterRefusedError, match="dense inner is 9"):
        prover.commit_dense(9)
    with pytest.raises(ParameterRefusedError, match="columns is 9"):
        prepare_lock(prover.session, 9, 1, 1, Random(1))
    with pytest.raises(ParameterRefusedError, match="device has 1073741824"):
        ReferenceProver(vector_session(small_parameters(inner=4096, rows=1 << 20)))


def test_malformed_sessions_parameters_and_seeds_are_refused() -> None:
    with pytest.raises(ParameterRefusedError, match="nonce has 31 bytes"):
        Session(made_up_device(), small_parameters(), bytes(31), bytes(32), "v", "m")
    with pytest.raises(ParameterRefusedError, match="33 bytes"):
        WorkParameters.unpack(bytes(33))
    with pytest.raises(ParameterRefusedError, match="version 2"):
        WorkParameters.unpack(b"\x02" + bytes(33))
    with pytest.raises(ParameterRefusedError, match="seed is -1"):
        nonce_of_integer_seed(-1)
    assert nonce_of_integer_seed(1) != nonce_of_integer_seed(2)

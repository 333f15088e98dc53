"""The NumPy reference against a second implementation in plain integers, and vectors beyond the published ones."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graval.labels import label_rows
from graval.matmul import multiply_int8
from graval.messages import ChaseRequest, DenseRequest, SweepRequest
from graval.primitives import keystream
from graval.reference import ReferenceProver
from graval.session import WorkParameters
from tests.support.graval_plain import Plain, stream
from tests.support.graval_sessions import NO_STATE, small_parameters, vector_session

sizes = st.builds(
    lambda cells, chain, tile, tiles, lanes, columns: small_parameters(
        inner=32 * cells, chain_length=chain, tile_rows=tile, rows=tile * tiles, lanes=lanes, columns=columns
    ),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 5),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 6),
)


FULL_ROW = "413cd8c2dd1c89d694200e838a93b0f0284ca8acd101ac5a2bb31dab1bf1d2f0"


def both(parameters: WorkParameters) -> tuple[ReferenceProver, Plain]:
    prover = ReferenceProver(vector_session(parameters))
    p = parameters
    return prover, Plain(prover.seed, p.inner, p.chain_length, p.rows, p.tile_rows, p.lanes)


@settings(max_examples=25, deadline=None)
@given(parameters=sizes, inner=st.integers(1, 9))
def test_both_implementations_give_the_same_bits_in_every_phase(parameters: WorkParameters, inner: int) -> None:
    prover, plain = both(parameters)
    sweep = SweepRequest(start=NO_STATE, columns=parameters.columns, rounds=2)
    assert prover.sweep(sweep) == plain.sweep(NO_STATE, parameters.columns, 2)
    assert prover.chase(ChaseRequest(nonce=b"\x33" * 32, groups=2, steps=3)) == plain.chase(b"\x33" * 32, 2, 3)
    root, image = plain.dense(inner, b"\x44" * 32)
    assert prover.commit_dense(inner) == root
    answer = prover.answer_dense(DenseRequest(nonce=b"\x44" * 32, rows=(0,)))
    assert np.frombuffer(answer.image, dtype="<u8").tolist() == image


@pytest.mark.parametrize("count", [1, 63, 64, 65, 1000])
def test_the_stream_is_chacha20(count: int) -> None:
    assert keystream(bytes(range(32)), count) == stream(bytes(range(32)), count)


def test_a_row_of_the_full_inner_size() -> None:
    prover, plain = both(small_parameters(inner=4096, chain_length=8))
    row = label_rows(prover.seed, [31], prover.session.parameters)
    assert row.tobytes() == plain.row(31)
    assert hashlib.sha256(row.tobytes()).hexdigest() == FULL_ROW


@pytest.mark.parametrize(
    ("tiles", "root"),
    [
        (1, "830874f2e5e9e4082a0a4c6064f78ddff0e658e206529c1c1a4834445e4ad923"),
        (3, "81e4127bc2d79fedd5d56a52151acb8632b3dcacb1e9466891fb2fbdb63ac55a"),
        (7, "9a5fc75ccd393b2bcf017a64699590da8fe0619946bf00f070396434ce5c6f46"),
    ],
)
def test_roots_of_odd_numbers_of_tiles(tiles: int, root: str) -> None:
    prover, plain = both(small_parameters(rows=16 * tiles))
    (made,) = prover.sweep(SweepRequest(start=NO_STATE, columns=8, rounds=1))
    assert made == plain.sweep(NO_STATE, 8, 1)[0]
    assert made.hex() == root


def test_extreme_entries_are_multiplied_as_the_text_says() -> None:
    extremes = np.array([[-128, 127] * 2048, [-128] * 4096, [127] * 4096], dtype=np.int8)
    product = multiply_int8(extremes, np.ascontiguousarray(extremes.T))
    assert product.tolist() == [
        [66586624, 262144, -260096], [262144, 67108864, -66584576], [-260096, -66584576, 66064384]
    ]  # fmt: skip

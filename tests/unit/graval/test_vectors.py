"""The vectors of the open scheme, one test for each row of the table (spec: graval 7.1)."""

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray

from graval.chase import ChaseState, initial_state, lane_offsets, next_state
from graval.lock import round_key, row_tag
from graval.matmul import multiply_int8
from graval.messages import ChaseRequest, DenseRequest, SweepRequest
from graval.primitives import Int32Array, multiply_high
from graval.reference import ReferenceProver
from graval.session import WorkParameters
from graval.sweep import RoundInput, fingerprint_bytes, round_input
from tests.support.graval_sessions import NO_STATE, vector_session

ROOT_1 = "3926271673283dd6040bb04e59c9676bd217946942f52258dd0852fb90140ab3"
ROOT_2 = "fdc5f55a8822d644fd10c05a77f1a5e7f5fa542b6a765eed3984f6d30d3566de"
DENSE_ROOT = "fff15eebb6d6f1c6098d21d3392cfda1a146eda1187cc34ee7fa65273d5f6db1"


@pytest.fixture
def prover() -> ReferenceProver:
    return ReferenceProver(vector_session())


def inputs_of(prover: ReferenceProver, number: int) -> RoundInput:
    previous = NO_STATE if number == 1 else bytes.fromhex(ROOT_1)
    return round_input(prover.seed, number, previous, 64, 8)


def product_of(prover: ReferenceProver, number: int) -> Int32Array:
    return multiply_int8(prover.rows, inputs_of(prover, number).operand)


def words(values: NDArray[np.uint64]) -> list[str]:
    return [f"{int(value):016x}" for value in values]


def state_words(state: ChaseState) -> list[str]:
    return [f"{value:016x}" for value in state]


def test_row_d_digest_of_the_device() -> None:
    digest = "d6813cead8eecc61534ad11842db75e587fd3a3673aac7080308fdc8c21c6cd8"
    assert vector_session().device.digest().hex() == digest


def test_row_params_are_packed_into_34_bytes() -> None:
    packed = vector_session().parameters.pack()
    assert packed.hex() == "01004000000008000000020000002000000000000000020000001000000004000000"
    assert WorkParameters.unpack(packed) == vector_session().parameters


def test_row_s_seed_of_the_session() -> None:
    seed = "ee98bde17bcc9af09d99a46ff360cec51131f9da7924be18f9e900743ad9f5be"
    assert vector_session().seed().hex() == seed


def test_row_row_0_of_the_label_matrix(prover: ReferenceProver) -> None:
    first, second = (
        "6a5649339beed38c1a30230050e34d3ba25b8797a25d04789d89c0d283603f63",
        "ebea9e4af4d3ecf52c87cbf1ec4f046e5caf646293ea69c1743146e761027dc7",
    )
    assert prover.rows[0].tobytes().hex() == first + second


def test_row_sha256_of_all_32_rows(prover: ReferenceProver) -> None:
    digest = "0b71549d9f17ad3e5dbb391ea5eed48575393350e324ac5b3cb6caec2db3c818"
    assert hashlib.sha256(prover.rows.tobytes()).hexdigest() == digest


def test_row_operand_of_round_1(prover: ReferenceProver) -> None:
    assert inputs_of(prover, 1).operand[0].tolist() == [49, 115, -45, -14, 88, 65, -118, -77]


def test_row_product_of_round_1(prover: ReferenceProver) -> None:
    assert product_of(prover, 1)[0].tolist() == [71907, -45912, 25224, 27909, -100526, -67420, -9986, -59961]


def test_row_masks_of_round_1(prover: ReferenceProver) -> None:
    inputs = inputs_of(prover, 1)
    assert f"{int(inputs.mask[0]):08x}" == "e67186e8"
    assert words(inputs.first_weight[:1]) == ["39258885cf373c35"]
    assert words(inputs.second_weight[:1]) == ["e7388430700751ab"]


def test_row_fingerprint_of_row_0_in_round_1(prover: ReferenceProver) -> None:
    assert words(prover.fingerprints(inputs_of(prover, 1))[0]) == ["058c63d578b91302", "0a78dbcde6739c62"]


def test_row_root_1(prover: ReferenceProver) -> None:
    roots = prover.sweep(SweepRequest(start=NO_STATE, columns=8, rounds=1))
    assert [root.hex() for root in roots] == [ROOT_1]


def test_row_tags_of_rows_5_and_17(prover: ReferenceProver) -> None:
    prints = prover.fingerprints(inputs_of(prover, 1))
    tags = [row_tag(b"\x22" * 16, fingerprint_bytes(prints[row])).hex() for row in (5, 17)]
    assert tags == ["6487fd7782c7132ae3e5d659dace43b5", "dd2c69c10a211478eec42e187b165184"]


def test_row_lock_key_1_from_rows_5_and_17(prover: ReferenceProver) -> None:
    prints = prover.fingerprints(inputs_of(prover, 1))
    key = round_key(prover.seed, 1, [fingerprint_bytes(prints[row]) for row in (5, 17)])
    assert key.hex() == "119af3859708d0e696cd4466ff085ab585126eaaca982a9c0617b4dc5639feaa"


def test_row_operand_of_round_2(prover: ReferenceProver) -> None:
    assert inputs_of(prover, 2).operand[0].tolist() == [42, 94, -93, -76, 100, 50, 73, -24]


def test_row_product_of_round_2(prover: ReferenceProver) -> None:
    assert product_of(prover, 2)[0].tolist() == [2802, -41737, 51512, -19425, 8203, -21799, 35725, -50257]


def test_row_fingerprint_of_row_0_in_round_2(prover: ReferenceProver) -> None:
    assert words(prover.fingerprints(inputs_of(prover, 2))[0]) == ["57c6824da8922bb0", "0e834f92e69d1604"]


def test_row_root_2(prover: ReferenceProver) -> None:
    roots = prover.sweep(SweepRequest(start=NO_STATE, columns=8, rounds=2))
    assert [root.hex() for root in roots] == [ROOT_1, ROOT_2]


def test_row_chase_state_0(prover: ReferenceProver) -> None:
    assert state_words(initial_state(prover.seed, 0, b"\x33" * 32)) == ["6a16848c1dbc44c3", "ed2b227fce89094d"]


def test_row_chase_state_after_3_steps(prover: ReferenceProver) -> None:
    state = initial_state(prover.seed, 0, b"\x33" * 32)
    for _ in range(3):
        state = next_state(state, lane_offsets(4), 64, prover.read_cells)
    assert state_words(state) == ["9b276b9ea2161364", "cded66b0027cfa32"]
    prover.chase(ChaseRequest(nonce=b"\x33" * 32, groups=1, steps=3))
    log = prover.logged_states(0)
    assert state_words((int.from_bytes(log[-16:-8], "little"), int.from_bytes(log[-8:], "little"))) == state_words(
        state
    )


def test_row_dense_product_and_root(prover: ReferenceProver) -> None:
    assert prover.commit_dense(8).hex() == DENSE_ROOT
    answer = prover.answer_dense(DenseRequest(nonce=b"\x44" * 32, rows=(0,)))
    assert int.from_bytes(answer.rows[0].product[:4], "little", signed=True) == 606


def test_row_dense_image(prover: ReferenceProver) -> None:
    prover.commit_dense(8)
    image = prover.answer_dense(DenseRequest(nonce=b"\x44" * 32, rows=(0,))).image
    assert f"{int.from_bytes(image[:8], 'little'):016x}" == "0f4a11ce8e00bae9"
    assert hashlib.sha256(image).hexdigest() == "6d9dfe74e46d5af23fedf66c5eb3413453295e5cc9331e8e427f43a5ca751a4e"


def test_upper_half_of_a_product_is_that_of_unbounded_integers() -> None:
    values = [0, 1, 0xFFFFFFFF, 1 << 32, (1 << 64) - 1, 0x9E3779B97F4A7C15]
    for factor in (1, 64, (1 << 33) + 7, (1 << 64) - 1):
        high = multiply_high(np.array(values, dtype=np.uint64), factor)
        assert high.tolist() == [value * factor >> 64 for value in values]

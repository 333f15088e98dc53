"""An honest prover passes every phase, and what is bound to a session opens nowhere else."""

from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from graval.containers import (
    Container,
    ContainerRefusedError,
    associated_data,
    message_key,
    seal,
    unseal,
)
from graval.lock import prepare_lock
from graval.messages import ChaseOpening, ChaseRequest, DenseAnswer, DenseRequest, SweepRequest, TileOpening
from graval.reference import ReferenceProver
from graval.session import Session
from graval.verifier import choose_steps, choose_tiles, verify_chase, verify_dense, verify_sweep
from tests.support.graval_sessions import made_up_device, small_parameters, vector_session


@given(st.integers(1, 3), st.integers(1, 12), st.integers(1, 3), st.integers(1, 5), st.integers(1, 9), st.randoms())
@settings(max_examples=20, deadline=None)
def test_an_honest_prover_passes_every_phase_at_any_small_size(
    cells: int, columns: int, chain_length: int, tiles: int, lanes: int, random: Random
) -> None:
    session = vector_session(
        small_parameters(
            inner=32 * cells, columns=columns, chain_length=chain_length, rows=4 * tiles, tile_rows=4, lanes=lanes
        )
    )
    prover = ReferenceProver(session)
    sweep = SweepRequest(start=random.randbytes(32), columns=columns, rounds=2)
    roots = prover.sweep(sweep)
    asked = choose_tiles(session.parameters, 2, 3, random)
    verify_sweep(session, sweep, roots, asked, prover.open_tiles(asked))
    chase = ChaseRequest(nonce=random.randbytes(32), groups=2, steps=70)
    root = prover.chase(chase)
    steps = choose_steps(chase, 4, random)
    verify_chase(session, chase, root, steps, prover.open_steps(steps))
    dense_root = prover.commit_dense(7)
    question = DenseRequest(nonce=random.randbytes(32), rows=(0, 6))
    verify_dense(session, 7, dense_root, question, prover.answer_dense(question))
    header, work_key = prepare_lock(session, columns, 2, min(3, 4 * tiles), random)
    assert prover.open_lock(header) == work_key


def test_proofs_survive_the_wire() -> None:
    session = vector_session()
    prover = ReferenceProver(session)
    prover.sweep(SweepRequest(start=bytes(32), columns=8, rounds=2))
    chase = ChaseRequest(nonce=bytes(32), groups=1, steps=66)
    prover.chase(chase)
    prover.commit_dense(8)
    tile = prover.open_tiles(choose_tiles(session.parameters, 2, 1, Random(1)))[0]
    step = prover.open_steps(choose_steps(chase, 1, Random(1)))[0]
    answer = prover.answer_dense(DenseRequest(nonce=bytes(32), rows=(3,)))
    assert TileOpening.model_validate_json(tile.model_dump_json()) == tile
    assert ChaseOpening.model_validate_json(step.model_dump_json()) == step
    assert DenseAnswer.model_validate_json(answer.model_dump_json()) == answer


def session_with_key(key: X25519PrivateKey) -> Session:
    return Session(made_up_device(), small_parameters(), bytes(32), key.public_key().public_bytes_raw(), "v", "m")


def test_a_message_opens_for_the_prover_who_did_the_work_and_for_nobody_else() -> None:
    prover_key, verifier_key, thief_key = (X25519PrivateKey.generate() for _ in range(3))
    session = session_with_key(prover_key)
    header, work_key = prepare_lock(session, 8, 2, 4, Random(3))
    bound_to = associated_data(session, "exchange 1")
    key = message_key(session, verifier_key, session.prover_public_key, work_key)
    text = Container(7, seal(key, b"\x05" * 12, b"the secret", bound_to)).text()
    container = Container.parse(text)
    assert container.seed == 7
    earned = ReferenceProver(session).open_lock(header)
    verifier_public = verifier_key.public_key().public_bytes_raw()
    assert (
        unseal(message_key(session, prover_key, verifier_public, earned), container.sealed, bound_to) == b"the secret"
    )
    thief = message_key(session, thief_key, verifier_public, earned)
    idler = message_key(session, prover_key, verifier_public, bytes(32))
    for wrong in (thief, idler):
        with pytest.raises(ContainerRefusedError, match="does not open"):
            unseal(wrong, container.sealed, bound_to)
    with pytest.raises(ContainerRefusedError, match="does not open"):
        unseal(key, container.sealed, associated_data(session, "exchange 2"))


@pytest.mark.parametrize("text", ["", "7", "x|AAAA", "-1|AAAA", "7|not base64", "99999999999999999999|AAAA"])
def test_framing_that_is_malformed_is_refused(text: str) -> None:
    with pytest.raises(ContainerRefusedError):
        Container.parse(text)


def test_foreign_magic_short_containers_and_unusable_keys_are_refused() -> None:
    key = X25519PrivateKey.generate()
    for sealed in (b"OGV1", b"OGV2" + bytes(40)):
        with pytest.raises(ContainerRefusedError, match="no container"):
            unseal(bytes(32), sealed, b"")
    with pytest.raises(ContainerRefusedError, match="public key"):
        message_key(session_with_key(key), key, bytes(32), b"")
    with pytest.raises(ValueError, match="nonce of 11 bytes"):
        seal(bytes(32), bytes(11), b"", b"")

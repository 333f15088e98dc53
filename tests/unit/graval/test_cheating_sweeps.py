"""Cheating provers of sweeps and chases, at their stated rates (spec: graval 7.2)."""

import dataclasses
import math
from collections.abc import Callable
from random import Random

import numpy as np
import pytest

from graval.matmul import multiply_int8
from graval.messages import ChaseRequest, SweepRequest, TileOpening
from graval.primitives import UInt64Array, tagged_hash
from graval.reference import ReferenceProver
from graval.session import Session
from graval.sweep import RoundInput, fingerprint_rows, round_input
from graval.verifier import (
    ProofRejectedError,
    choose_steps,
    choose_tiles,
    verify_chase,
    verify_sweep,
)
from tests.support.graval_clock import Elsewhere, cheat_time, shared_time
from tests.support.graval_sessions import made_up_device, small_parameters, vector_session

START = bytes(32)
TRIALS = 2000


class LazyProver(ReferenceProver):
    """Invents the fingerprints of a share of its tiles."""

    def __init__(self, session: Session, skipped_tiles: int) -> None:
        super().__init__(session)
        self.skipped_rows = skipped_tiles * session.parameters.tile_rows

    def fingerprints(self, inputs: RoundInput) -> UInt64Array:
        prints = super().fingerprints(inputs)
        prints[: self.skipped_rows] ^= np.uint64(1)
        return prints


class ForgetfulProver(ReferenceProver):
    """Reads one wrong bit in a share of its chase steps."""

    wrong_steps = frozenset[int]()
    step = 0

    def read_cells(self, cells: UInt64Array) -> UInt64Array:
        self.step += 1
        words = super().read_cells(cells)
        return words ^ np.uint64(1) if self.step in self.wrong_steps else words


def is_accepted(check: Callable[[], None]) -> bool:
    try:
        check()
    except ProofRejectedError:
        return False
    return True


def assert_rate(accepted: int, trials: int, rate: float) -> None:
    assert abs(accepted - trials * rate) <= 3 * math.sqrt(trials * rate * (1 - rate))


def whole_proof(session: Session) -> tuple[SweepRequest, tuple[bytes, ...], tuple[TileOpening, ...]]:
    prover = ReferenceProver(session)
    request = SweepRequest(start=START, columns=8, rounds=2)
    return request, prover.sweep(request), prover.open_tiles(choose_tiles(session.parameters, 2, 99, Random(1)))


def test_a_prover_that_skips_a_share_f_of_tiles_passes_t_openings_at_the_rate_of_1_minus_f_to_the_t() -> None:
    session = vector_session(small_parameters(inner=32, columns=1, chain_length=1, rows=2048, tile_rows=2, rounds=1))
    request = SweepRequest(start=START, columns=1, rounds=1)
    prover = LazyProver(session, skipped_tiles=256)
    roots = prover.sweep(request)
    random, accepted = Random(11), 0
    for _ in range(TRIALS):
        asked = choose_tiles(session.parameters, 1, 6, random)
        accepted += is_accepted(lambda: verify_sweep(session, request, roots, asked, prover.open_tiles(asked)))  # noqa: B023 (called at once)
    assert_rate(accepted, TRIALS, 0.75**6)


def test_a_chase_with_a_share_g_of_corrupted_steps_passes_q_openings_at_the_rate_of_1_minus_g_to_the_q() -> None:
    session = vector_session(small_parameters(inner=32, chain_length=1, lanes=2))
    request = ChaseRequest(nonce=START, groups=1, steps=1000)
    prover = ForgetfulProver(session)
    prover.wrong_steps = frozenset(Random(5).sample(range(1, 1001), 200))
    root = prover.chase(request)
    random, accepted = Random(12), 0
    for _ in range(TRIALS):
        asked = choose_steps(request, 4, random)
        accepted += is_accepted(lambda: verify_chase(session, request, root, asked, prover.open_steps(asked)))  # noqa: B023 (called at once)
    assert_rate(accepted, TRIALS, 0.8**4)


def test_any_single_bit_of_the_roots_flipped_is_rejected() -> None:
    session = vector_session()
    request, roots, openings = whole_proof(session)
    asked = choose_tiles(session.parameters, 2, 99, Random(1))
    verify_sweep(session, request, roots, asked, openings)
    for number in range(2):
        for bit in range(256):
            changed = list(roots)
            changed[number] = flipped(roots[number], bit)
            assert not is_accepted(lambda: verify_sweep(session, request, changed, asked, openings))  # noqa: B023


def test_any_single_bit_of_a_path_or_an_index_flipped_is_rejected() -> None:
    session = vector_session()
    request, roots, openings = whole_proof(session)
    asked = choose_tiles(session.parameters, 2, 99, Random(1))
    first = openings[0]
    wrong = [first.model_copy(update={"path": (flipped(first.path[0], bit),)}) for bit in range(256)]
    wrong += [first.model_copy(update={"tile": first.tile ^ 1 << bit}) for bit in range(32)]
    wrong += [first.model_copy(update={"round": first.round ^ 1 << bit}) for bit in range(32)]
    for opening in wrong:
        assert not is_accepted(lambda: verify_sweep(session, request, roots, asked, (opening, *openings[1:])))  # noqa: B023


def test_any_single_bit_of_seed_device_key_or_nonce_flipped_is_rejected() -> None:
    session = vector_session()
    request, roots, openings = whole_proof(session)
    asked = choose_tiles(session.parameters, 2, 99, Random(1))
    others = [dataclasses.replace(session, nonce=flipped(session.nonce, bit)) for bit in range(256)]
    others += [
        dataclasses.replace(session, prover_public_key=flipped(session.prover_public_key, bit)) for bit in range(256)
    ]
    uuids = [f"{int(session.device.uuid, 16) ^ 1 << bit:032x}" for bit in range(128)]
    others += [dataclasses.replace(session, device=made_up_device(uuid)) for uuid in uuids]
    assert len({other.seed() for other in others}) == len(others)
    for other in others:
        assert not is_accepted(lambda: verify_sweep(other, request, roots, asked, openings))  # noqa: B023


def test_any_single_bit_of_a_logged_leaf_flipped_is_rejected() -> None:
    session = vector_session()
    prover, request = ReferenceProver(session), ChaseRequest(nonce=START, groups=1, steps=5)
    root = prover.chase(request)
    asked = choose_steps(request, 99, Random(1))
    openings = prover.open_steps(asked)
    leaf = openings[0].leaves[0]
    for bit in range(8 * len(leaf.states)):
        changed = leaf.model_copy(update={"states": flipped(leaf.states, bit)})
        wrong = (openings[0].model_copy(update={"leaves": (changed,)}), *openings[1:])
        assert not is_accepted(lambda: verify_chase(session, request, root, asked, wrong))  # noqa: B023


@pytest.mark.parametrize(
    "changed",
    [{"nonce": b"\x01" * 32}, {"device": made_up_device("f" * 32)}, {"miner_identity": "another"}],
    ids=["replayed under a new nonce", "GPU 0 offered for GPU 1", "another miner"],
)
def test_a_transcript_of_another_session_is_rejected(changed: dict[str, object]) -> None:
    session = vector_session()
    request, roots, openings = whole_proof(session)
    asked = choose_tiles(session.parameters, 2, 99, Random(1))
    other = Session(
        **{**{field.name: getattr(session, field.name) for field in dataclasses.fields(session)}, **changed}
    )
    with pytest.raises(ProofRejectedError, match="not under its root"):
        verify_sweep(other, request, roots, asked, openings)


def test_the_linear_shortcut_passes_a_linear_fingerprint_and_fails_against_the_mixer() -> None:
    prover = ReferenceProver(vector_session())
    inputs = round_input(prover.seed, 1, START, 64, 8)
    weights = inputs.first_weight
    combined = (inputs.operand.astype(np.uint64) * weights).sum(axis=1, dtype=np.uint64)
    shortcut = (prover.rows.astype(np.uint64) * combined).sum(axis=1, dtype=np.uint64)
    product = multiply_int8(prover.rows, inputs.operand)
    linear = (product.astype(np.uint64) * weights).sum(axis=1, dtype=np.uint64)
    assert np.array_equal(shortcut, linear)
    assert not np.any(shortcut == fingerprint_rows(prover.rows, inputs)[:, 0])


def test_a_prover_that_picks_its_own_sample_grinds_one_within_the_expected_tries() -> None:
    random, tries, runs, share, opened = Random(4), 0, 200, 0.25, 8
    for run in range(runs):
        passed = False
        while not passed:
            tries += 1
            digest = Random(tagged_hash("grind", bytes([run]), random.randbytes(8)))
            passed = all(digest.random() >= share for _ in range(opened))
    expected = (1 - share) ** -opened
    assert abs(tries / runs - expected) <= 3 * expected / math.sqrt(runs)


@pytest.mark.parametrize(
    ("missing", "source", "flagged"),
    [
        (0.05, Elsewhere.RECOMPUTED, {"sweep", "chase"}),
        (0.02, Elsewhere.RECOMPUTED, {"chase"}),
        (0.01, Elsewhere.RECOMPUTED, {"chase"}),
        (0.05, Elsewhere.HOST_MEMORY, {"sweep", "chase"}),
        (0.01, Elsewhere.HOST_MEMORY, {"chase"}),
        (0.05, Elsewhere.IDLE_PEER_GPU, set()),
        (0.0, Elsewhere.RECOMPUTED, set()),
    ],
)
def test_the_modelled_clock_flags_missing_memory_as_the_threat_table_says(
    missing: float, source: Elsewhere, flagged: set[str]
) -> None:
    assert cheat_time(missing, source).flags() == flagged


def test_the_modelled_clock_flags_two_sessions_on_one_gpu_and_misses_little_contention() -> None:
    assert shared_time(0.5).flags() == {"sweep", "chase"}
    assert shared_time(0.1).flags() == set()


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)

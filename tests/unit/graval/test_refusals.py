"""What the verifier and the messages refuse by shape alone."""

from random import Random

import pytest
from pydantic import ValidationError

from graval.bands import TimeBand
from graval.merkle import MerkleTree, PartialTree, leaf_digest
from graval.messages import ChaseRequest, DenseRequest, SweepRequest, TileOpening
from graval.reference import ReferenceProver
from graval.verifier import (
    ProofRejectedError,
    choose_steps,
    choose_tiles,
    verify_chase,
    verify_dense,
    verify_sweep,
)
from tests.support.graval_sessions import NO_STATE, small_parameters, vector_session


def test_a_sweep_with_missing_roots_unasked_or_twice_asked_tiles_is_rejected() -> None:
    session = vector_session()
    prover, request = ReferenceProver(session), SweepRequest(start=NO_STATE, columns=8, rounds=2)
    roots = prover.sweep(request)
    asked = choose_tiles(session.parameters, 2, 2, Random(1))
    openings = prover.open_tiles(asked)
    with pytest.raises(ProofRejectedError, match="1 roots for 2 rounds"):
        verify_sweep(session, request, roots[:1], asked, openings)
    with pytest.raises(ProofRejectedError, match="none twice"):
        verify_sweep(session, request, roots, (asked[0], asked[0]), openings)
    with pytest.raises(ProofRejectedError, match="none twice"):
        verify_sweep(session, request, roots, (), ())
    with pytest.raises(ProofRejectedError, match="in that order"):
        verify_sweep(session, request, roots, asked, openings[:1])


def test_a_chase_with_missing_or_misplaced_leaves_is_rejected() -> None:
    session = vector_session(small_parameters(inner=32))
    prover, request = ReferenceProver(session), ChaseRequest(nonce=NO_STATE, groups=2, steps=70)
    root = prover.chase(request)
    asked = tuple(choice for choice in choose_steps(request, 140, Random(1)) if choice.step == 65)
    openings = prover.open_steps(asked)
    verify_chase(session, request, root, asked, openings)
    half = openings[0].model_copy(update={"leaves": openings[0].leaves[:1]})
    foreign = openings[0].model_copy(update={"leaves": openings[1].leaves})
    for wrong, reason in ((half, "do not hold step 65"), (foreign, "not under the root")):
        with pytest.raises(ProofRejectedError, match=reason):
            verify_chase(session, request, root, asked, (wrong, openings[1]))
    with pytest.raises(ProofRejectedError, match="in that order"):
        verify_chase(session, request, root, asked, openings[:1])
    with pytest.raises(ProofRejectedError, match="none twice"):
        verify_chase(session, request, root, (), ())


def test_a_dense_row_that_is_short_or_changed_is_rejected() -> None:
    session = vector_session()
    prover, request = ReferenceProver(session), DenseRequest(nonce=NO_STATE, rows=(1,))
    root = prover.commit_dense(8)
    answer = prover.answer_dense(request)
    row = answer.rows[0]
    for product, reason in ((row.product[:-4], "28 bytes"), (bytes(32), "not under the root")):
        wrong = answer.model_copy(update={"rows": (row.model_copy(update={"product": product}),)})
        with pytest.raises(ProofRejectedError, match=reason):
            verify_dense(session, 8, root, request, wrong)


@pytest.mark.parametrize("digest", ["00" * 31, "AA" * 32, "zz" * 32, " " + "00" * 32, 7])
def test_digests_that_are_no_lower_case_hex_of_32_bytes_are_refused(digest: object) -> None:
    with pytest.raises(ValidationError):
        TileOpening.model_validate({"round": 1, "tile": 0, "path": [digest]})


def test_bands_that_are_empty_or_miss_their_median_are_refused() -> None:
    for median, lower, upper in ((0.0, 0.8, 1.25), (1.0, 1.1, 1.25), (1.0, 0.8, 0.9), (1.0, 0.0, 1.25)):
        with pytest.raises(ValueError, match="is none"):
            TimeBand(median, lower, upper)


def test_a_partial_tree_has_the_whole_trees_paths_and_notices_a_device_that_errs() -> None:
    leaves = [leaf_digest(index, b"%d" % index) for index in range(11)]
    whole = MerkleTree.build(leaves)
    for cut in range(5):
        part = PartialTree(11, cut, whole.levels[cut:], lambda first, count: leaves[first : first + count])
        assert part.root == whole.root
        assert [part.path(index) for index in range(11)] == [whole.path(index) for index in range(11)]
    with pytest.raises(IndexError, match="11 of 11"):
        part.path(11)
    erring = PartialTree(11, 2, whole.levels[2:], lambda first, count: [bytes(32)] * count)
    with pytest.raises(ArithmeticError, match="differ from those that were committed"):
        erring.path(4)

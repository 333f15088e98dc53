"""Hidden rows: encryption before the work, for whoever does it, on a verifier without a GPU (spec graval 4.8)."""

import hashlib
from collections.abc import Sequence
from random import Random
from typing import Final

from graval.labels import label_rows
from graval.messages import LockedRound, LockHeader
from graval.primitives import SCHEME, little_endian, tagged_hash
from graval.session import Session, WorkLimits
from graval.sweep import fingerprint_bytes, fingerprint_rows, round_input

SALT_BYTES: Final = 16
TAG_BYTES: Final = 16


class LockRefusedError(ValueError):
    """A lock header that cannot be opened as it stands, or that this prover cannot open."""


def row_tag(salt: bytes, fingerprint: bytes) -> bytes:
    """What is published of a hidden row."""
    return hashlib.sha256(SCHEME + b"/tag\0" + salt + fingerprint).digest()[:TAG_BYTES]


def round_key(seed: bytes, round_number: int, fingerprints: Sequence[bytes]) -> bytes:
    """Key that a round yields, from the hidden rows' fingerprints in the order of the tags."""
    return tagged_hash("lock", seed, little_endian(round_number, 4), b"".join(fingerprints))


def prepare_lock(
    session: Session, columns: int, rounds: int, hidden_rows: int, random: Random
) -> tuple[LockHeader, bytes]:
    """The verifier's side: a header to publish and the work key to keep secret.

    Rows are drawn without repetition. `random` must be a `secrets.SystemRandom` outside tests. Raises ValueError when
    more rows are asked for than there are, ParameterRefusedError when sizes exceed the session's.
    """
    parameters, seed = session.parameters, session.seed()
    WorkLimits.check_count("columns", columns, parameters.columns)
    WorkLimits.check_count("rounds", rounds, parameters.rounds)
    WorkLimits.check_count("hidden rows", hidden_rows, parameters.rows)
    start = previous = random.randbytes(32)
    locked = []
    for number in range(1, rounds + 1):
        rows = label_rows(seed, random.sample(range(parameters.rows), hidden_rows), parameters)
        inputs = round_input(seed, number, previous, parameters.inner, columns)
        fingerprints = [fingerprint_bytes(one) for one in fingerprint_rows(rows, inputs)]
        salt = random.randbytes(SALT_BYTES)
        locked.append(LockedRound(salt=salt, tags=tuple(row_tag(salt, one) for one in fingerprints)))
        previous = round_key(seed, number, fingerprints)
    return LockHeader(start=start, columns=columns, rounds=tuple(locked)), previous


def check_lock_header(header: LockHeader, session: Session) -> None:
    """The prover's checks before any work. Raises LockRefusedError or ParameterRefusedError."""
    WorkLimits.check_count("columns", header.columns, session.parameters.columns)
    WorkLimits.check_count("rounds", len(header.rounds), session.parameters.rounds)
    for number, locked in enumerate(header.rounds, start=1):
        WorkLimits.check_count("hidden rows", len(locked.tags), session.parameters.rows)
        if len(locked.salt) != SALT_BYTES or any(len(tag) != TAG_BYTES for tag in locked.tags):
            raise LockRefusedError(f"round {number}: salt or tag of a wrong length, expected {SALT_BYTES}, {TAG_BYTES}")
        if len(set(locked.tags)) != len(locked.tags):
            raise LockRefusedError(f"round {number}: a tag occurs twice")

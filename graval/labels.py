"""The label matrix that fills the memory: rows of hash chains, each made without the others (spec graval 4.4)."""

import hashlib
from collections.abc import Iterable

import numpy as np

from graval.primitives import DIGEST_BYTES, SCHEME, Int8Array, little_endian
from graval.session import WorkParameters


def row_prefix(seed: bytes, row: int, cells: int, chain_length: int) -> bytes:
    """The first cells of a row: each cell is the one before it, hashed `chain_length` times."""
    sha256 = hashlib.sha256
    value = sha256(SCHEME + b"/row\0" + seed + little_endian(row, 8)).digest()
    made = []
    steps = range(chain_length)
    for _ in range(cells):
        for _ in steps:
            value = sha256(value).digest()
        made.append(value)
    return b"".join(made)


def label_rows(seed: bytes, rows: Iterable[int], parameters: WorkParameters) -> Int8Array:
    """Rows of the label matrix, int8 of shape (rows asked for, inner)."""
    cells = parameters.inner // DIGEST_BYTES
    data = b"".join(row_prefix(seed, row, cells, parameters.chain_length) for row in rows)
    return np.frombuffer(data, dtype=np.int8).reshape(-1, parameters.inner)

"""Dense product with Freivalds' check: commitment to all of C, then one random vector (spec graval 4.9)."""

from typing import Final

import numpy as np

from graval.matmul import MERSENNE_61
from graval.merkle import leaf_digest
from graval.primitives import Int8Array, Int32Array, UInt64Array, keystream, keystream_words, tagged_hash

_MASK_61: Final = np.uint64(MERSENNE_61)


def dense_operands(seed: bytes, inner: int) -> tuple[Int8Array, Int8Array]:
    """Both square int8 matrices, row by row."""
    left = np.frombuffer(keystream(tagged_hash("fa", seed), inner * inner), dtype=np.int8)
    right = np.frombuffer(keystream(tagged_hash("fb", seed), inner * inner), dtype=np.int8)
    return left.reshape(inner, inner), right.reshape(inner, inner)


def product_leaf(row: int, product: Int32Array) -> bytes:
    """Leaf of one row of the product."""
    return leaf_digest(row, product.astype("<i4").tobytes())


def random_vector(seed: bytes, root: bytes, nonce: bytes, inner: int) -> UInt64Array:
    """Vector of residues modulo 2^61 - 1; it exists only after the commitment `root` does."""
    kept: list[UInt64Array] = []
    count = 0
    for words in keystream_words(tagged_hash("fr", seed, root, nonce), inner):
        masked = words & _MASK_61
        masked = masked[masked != _MASK_61]
        kept.append(masked)
        count += len(masked)
        if count >= inner:
            break
    return np.concatenate(kept)[:inner]

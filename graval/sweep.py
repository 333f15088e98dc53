"""One round over the label matrix: operand, masks, fingerprints, leaves. Shared by prover and verifier.

The mixer makes fingerprints non-linear in the product. Without it a prover would replace the product with one
matrix-vector product (spec graval 4.5); tests/unit/graval shows that shortcut at work on a linear variant.
"""

from dataclasses import dataclass

import numpy as np

from graval.matmul import multiply_int8
from graval.merkle import leaf_digest
from graval.primitives import (
    Int8Array,
    Int32Array,
    UInt32Array,
    UInt64Array,
    fmix32,
    keystream,
    little_endian,
    tagged_hash,
)


@dataclass(frozen=True)
class RoundInput:
    """What round t multiplies with and mixes in."""

    operand: Int8Array
    """(inner, columns), stored column by column."""
    mask: UInt32Array
    first_weight: UInt64Array
    second_weight: UInt64Array


def round_input(seed: bytes, round_number: int, previous: bytes, inner: int, columns: int) -> RoundInput:
    """Inputs of a round, counted from 1, from the state before it (spec graval 4.5)."""
    binding = (seed, little_endian(round_number, 4), previous)
    operand = np.frombuffer(keystream(tagged_hash("x", *binding), inner * columns), dtype=np.int8)
    masks = keystream(tagged_hash("w", *binding), 20 * columns)
    weights = np.frombuffer(masks, dtype="<u8", offset=4 * columns).reshape(2, columns) | np.uint64(1)
    return RoundInput(
        operand=operand.reshape(columns, inner).T,
        mask=np.frombuffer(masks, dtype="<u4", count=columns),
        first_weight=weights[0],
        second_weight=weights[1],
    )


def fingerprint_product(product: Int32Array, inputs: RoundInput) -> UInt64Array:
    """Fingerprints of rows of a product, uint64 of shape (rows, 2); the order of summation cannot matter."""
    mixed = fmix32(product.view(np.uint32) ^ inputs.mask).astype(np.uint64)
    first = (mixed * inputs.first_weight).sum(axis=1, dtype=np.uint64)
    second = (mixed * inputs.second_weight).sum(axis=1, dtype=np.uint64)
    return np.stack([first, second], axis=1)


def fingerprint_rows(rows: Int8Array, inputs: RoundInput) -> UInt64Array:
    """Fingerprints of label rows: the work itself."""
    return fingerprint_product(multiply_int8(rows, inputs.operand), inputs)


def fingerprint_bytes(fingerprint: UInt64Array) -> bytes:
    """Fingerprints as they are hashed: two little-endian words for each row."""
    return fingerprint.astype("<u8").tobytes()


def tile_leaf(tile: int, fingerprints: UInt64Array) -> bytes:
    """Leaf of one tile of rows."""
    return leaf_digest(tile, fingerprint_bytes(fingerprints))

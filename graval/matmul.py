"""Exact integer matrix products out of floating-point BLAS. Nothing here rounds: each bound is stated and kept."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from graval.primitives import Int8Array, Int32Array, UInt64Array

FLOAT32_EXACT_CHUNK: Final = 1024
MAXIMUM_INNER: Final = 131_071
MERSENNE_61: Final = (1 << 61) - 1
_LIMB_BITS: Final = 21


def multiply_int8(left: Int8Array, right: Int8Array) -> Int32Array:
    """Exact int32 product of two int8 matrices, (rows, inner) by (inner, columns).

    A float32 sum over 1024 products never exceeds 2^24, so every partial sum is an integer that float32 holds; the
    chunks are added in int32, which holds inner sizes up to 131,071. Raises ValueError beyond that (spec graval 4.2).
    """
    inner = left.shape[1]
    if inner > MAXIMUM_INNER:
        raise ValueError(f"inner size is {inner}, an int32 sum is exact up to {MAXIMUM_INNER}; split the matrices")
    total = np.zeros((left.shape[0], right.shape[1]), dtype=np.int32)
    for start in range(0, inner, FLOAT32_EXACT_CHUNK):
        chunk = slice(start, start + FLOAT32_EXACT_CHUNK)
        total += (left[:, chunk].astype(np.float32) @ right[chunk].astype(np.float32)).astype(np.int32)
    return total


def multiply_modular(matrix: NDArray[np.int8] | NDArray[np.int32], vector: UInt64Array, modulus: int) -> UInt64Array:
    """Exact product of an integer matrix with a vector of residues, modulo a modulus of at most 61 bits.

    The vector is cut into 21-bit limbs. int8 entries, and the 16-bit halves of int32 entries, then sum to less than
    2^53 over an inner size of at most 2^14, where float64 BLAS is exact (spec graval 4.9). Raises ValueError for a
    larger inner size or modulus.
    """
    if matrix.shape[1] > 1 << 14:
        raise ValueError(f"inner size is {matrix.shape[1]}, the limbs are exact up to {1 << 14}")
    if modulus.bit_length() > 61:
        raise ValueError(f"modulus has {modulus.bit_length()} bits, at most 61 are supported")
    mask = np.uint64((1 << _LIMB_BITS) - 1)
    limbs = [(vector >> np.uint64(_LIMB_BITS * index)) & mask for index in range(3)]
    parts = _float64_parts(matrix)
    total = [0] * matrix.shape[0]
    for index, limb in enumerate(limbs):
        for shift, part in parts:
            weight = (_LIMB_BITS * index) + shift
            sums = (part @ limb.astype(np.float64)).astype(np.int64).tolist()
            total = [value + (int(added) << weight) for value, added in zip(total, sums, strict=True)]
    return np.array([value % modulus for value in total], dtype=np.uint64)


def _float64_parts(matrix: NDArray[np.int8] | NDArray[np.int32]) -> list[tuple[int, NDArray[np.float64]]]:
    """Summands of the matrix with their powers of two; each has at most 17 bits."""
    if matrix.dtype == np.int8:
        return [(0, matrix.astype(np.float64))]
    low = (matrix & np.int32(0xFFFF)).astype(np.float64)
    high = (matrix >> np.int32(16)).astype(np.float64)
    return [(0, low), (16, high)]

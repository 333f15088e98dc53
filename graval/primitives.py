"""Hashes, key streams and integer mixers of the open scheme, exact on every machine. No protocol state, no I/O."""

import hashlib
from collections.abc import Iterator
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from numpy.typing import NDArray

SCHEME: Final = b"ogv1"
DIGEST_BYTES: Final = 32
ZERO_DIGEST: Final = bytes(DIGEST_BYTES)

UInt64Array = NDArray[np.uint64]
UInt32Array = NDArray[np.uint32]
Int32Array = NDArray[np.int32]
Int8Array = NDArray[np.int8]

_STREAM_BLOCK: Final = bytes(16)
_GOLDEN_RATIO: Final = np.uint64(0x9E3779B97F4A7C15)


def little_endian(value: int, byte_count: int) -> bytes:
    """An unsigned integer as little-endian bytes. Raises OverflowError when it does not fit."""
    return value.to_bytes(byte_count, "little")


def tagged_hash(tag: str, *parts: bytes) -> bytes:
    """SHA-256 under a domain tag: every part is preceded by its length, so no two inputs share an encoding.

    Source: spec graval 4.2.
    """
    digest = hashlib.sha256(SCHEME + b"/" + tag.encode("ascii") + b"\0")
    for part in parts:
        digest.update(little_endian(len(part), 8))
        digest.update(part)
    return digest.digest()


def keystream(key: bytes, byte_count: int) -> bytes:
    """The first bytes of the ChaCha20 stream of a 32-byte key, counter and nonce zero (spec graval 4.2)."""
    return Cipher(algorithms.ChaCha20(key, _STREAM_BLOCK), mode=None).encryptor().update(bytes(byte_count))


def keystream_words(key: bytes, chunk_words: int) -> Iterator[UInt64Array]:
    """The same stream without end, as little-endian 64-bit words in chunks."""
    stream = Cipher(algorithms.ChaCha20(key, _STREAM_BLOCK), mode=None).encryptor()
    while True:
        yield np.frombuffer(stream.update(bytes(8 * chunk_words)), dtype="<u8")


def fmix32(values: UInt32Array) -> UInt32Array:
    """Finaliser of MurmurHash3: a permutation of 32-bit words that is far from linear."""
    mixed = values ^ (values >> np.uint32(16))
    mixed = mixed * np.uint32(0x85EBCA6B)
    mixed ^= mixed >> np.uint32(13)
    mixed *= np.uint32(0xC2B2AE35)
    mixed ^= mixed >> np.uint32(16)
    return mixed


def splitmix64(values: UInt64Array) -> UInt64Array:
    """One output of the SplitMix64 generator for each state, increment included. Arrays wrap modulo 2^64."""
    mixed = values.copy()
    mixed += _GOLDEN_RATIO
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def multiply_high(values: UInt64Array, factor: int) -> UInt64Array:
    """Upper half of the 128-bit product of 64-bit words with one 64-bit factor."""
    low_mask, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    factor_low, factor_high = np.uint64(factor & 0xFFFFFFFF), np.uint64(factor >> 32)
    low, high = values & low_mask, values >> half
    middle = high * factor_low + ((low * factor_low) >> half)
    other = low * factor_high + (middle & low_mask)
    upper: UInt64Array = high * factor_high + (middle >> half) + (other >> half)
    return upper

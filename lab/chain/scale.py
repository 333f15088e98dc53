"""Storage-key hashing, SS58 and SCALE's compact integers: just enough to play a Substrate node."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

_MASK: Final = (1 << 64) - 1
_PRIMES: Final = (
    11400714785074694791,
    14029467366897019727,
    1609587929392839161,
    9650029242287828579,
    2870177450012600261,
)
_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def _rotate(word: int, bits: int) -> int:
    return ((word << bits) | (word >> (64 - bits))) & _MASK


def _round(lane: int, word: int) -> int:
    return _rotate((lane + word * _PRIMES[1]) & _MASK, 31) * _PRIMES[0] & _MASK


def _lanes(data: bytes, seed: int) -> tuple[int, int]:
    """Fold the 32-byte stripes of the data; returns the hash so far and the offset that was reached."""
    first, second = _PRIMES[0], _PRIMES[1]
    lanes = [(seed + first + second) & _MASK, (seed + second) & _MASK, seed & _MASK, (seed - first) & _MASK]
    at = 0
    while at <= len(data) - 32:
        for index in range(4):
            lanes[index] = _round(lanes[index], int.from_bytes(data[at : at + 8], "little"))
            at += 8
    folded = sum(_rotate(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True)) & _MASK
    for lane in lanes:
        folded = ((folded ^ _round(0, lane)) * first + _PRIMES[3]) & _MASK
    return folded, at


def xxh64(data: bytes, seed: int = 0) -> int:
    """The 64-bit xxHash of the data, the hash behind Substrate's Twox hashers."""
    value, at = _lanes(data, seed) if len(data) >= 32 else ((seed + _PRIMES[4]) & _MASK, 0)
    value = (value + len(data)) & _MASK
    while at <= len(data) - 8:
        word = _round(0, int.from_bytes(data[at : at + 8], "little"))
        value = (_rotate(value ^ word, 27) * _PRIMES[0] + _PRIMES[3]) & _MASK
        at += 8
    if at <= len(data) - 4:
        word = int.from_bytes(data[at : at + 4], "little") * _PRIMES[0] & _MASK
        value = (_rotate(value ^ word, 23) * _PRIMES[1] + _PRIMES[2]) & _MASK
        at += 4
    for byte in data[at:]:
        value = _rotate(value ^ (byte * _PRIMES[4] & _MASK), 11) * _PRIMES[0] & _MASK
    value = ((value ^ (value >> 33)) * _PRIMES[1]) & _MASK
    value = ((value ^ (value >> 29)) * _PRIMES[2]) & _MASK
    return value ^ (value >> 32)


def twox(data: bytes, words: int) -> bytes:
    """Substrate's Twox hash of so many 64-bit words."""
    return b"".join(xxh64(data, seed).to_bytes(8, "little") for seed in range(words))


def blake2(data: bytes, size_bytes: int = 32) -> bytes:
    """Blake2b of the given length."""
    return hashlib.blake2b(data, digest_size=size_bytes).digest()


HASHERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "Identity": lambda data: data,
    "Twox64Concat": lambda data: twox(data, 1) + data,
    "Twox128": lambda data: twox(data, 2),
    "Twox256": lambda data: twox(data, 4),
    "Blake2_128Concat": lambda data: blake2(data, 16) + data,
    "Blake2_128": lambda data: blake2(data, 16),
    "Blake2_256": lambda data: blake2(data, 32),
}


def ss58(public_key: bytes, prefix: int = 42) -> str:
    """The address of a 32-byte public key."""
    body = bytes([prefix]) + public_key
    body += hashlib.blake2b(b"SS58PRE" + body, digest_size=64).digest()[:2]
    number, text = int.from_bytes(body, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return "1" * (len(body) - len(body.lstrip(b"\0"))) + text


def compact(number: int) -> bytes:
    """SCALE's compact encoding of a natural number."""
    if number < 64:
        return bytes([number << 2])
    if number < 1 << 14:
        return (number << 2 | 1).to_bytes(2, "little")
    if number < 1 << 30:
        return (number << 2 | 2).to_bytes(4, "little")
    size = max(4, (number.bit_length() + 7) // 8)
    return bytes([(size - 4) << 2 | 3]) + number.to_bytes(size, "little")

"""The open scheme once more, in plain integers and hashlib alone, written from its text: an oracle for the reference.

It shares no code with `graval`. Slow; for tiny sizes.
"""

import hashlib
from dataclasses import dataclass

WORD32, WORD64, PRIME = (1 << 32) - 1, (1 << 64) - 1, (1 << 61) - 1


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def le(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little")


def tagged(tag: str, *parts: bytes) -> bytes:
    return sha(b"ogv1/" + tag.encode() + b"\0" + b"".join(le(len(part), 8) + part for part in parts))


def stream(key: bytes, count: int) -> bytes:
    """ChaCha20, counter and nonce zero."""
    words = [int.from_bytes(key[at : at + 4], "little") for at in range(0, 32, 4)]
    made = b""
    for counter in range(-(-count // 64)):
        start = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *words, counter, 0, 0, 0]
        block = list(start)
        for _ in range(10):
            for a, b, c, d in (
                (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
            ):  # fmt: skip
                for add, to, by in ((b, a, 16), (d, c, 12), (b, a, 8), (d, c, 7)):
                    other = d if to == a else b
                    block[to] = (block[to] + block[add]) & WORD32
                    mixed = block[other] ^ block[to]
                    block[other] = ((mixed << by) | (mixed >> (32 - by))) & WORD32
        made += b"".join(le((x + y) & WORD32, 4) for x, y in zip(block, start, strict=True))
    return made[:count]


def signed(byte: int) -> int:
    return byte - 256 if byte > 127 else byte


def fmix32(value: int) -> int:
    value = (value ^ (value >> 16)) * 0x85EBCA6B & WORD32
    value = (value ^ (value >> 13)) * 0xC2B2AE35 & WORD32
    return value ^ (value >> 16)


def splitmix64(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) & WORD64
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & WORD64
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & WORD64
    return value ^ (value >> 31)


def root_of(leaves: list[bytes]) -> bytes:
    while len(leaves) & (len(leaves) - 1):
        leaves = [*leaves, bytes(32)]
    while len(leaves) > 1:
        leaves = [sha(b"\1" + leaves[at] + leaves[at + 1]) for at in range(0, len(leaves), 2)]
    return leaves[0]


@dataclass(frozen=True)
class Plain:
    """A session's seed and sizes, in the letters of the text."""

    seed: bytes
    n: int
    chain: int
    rows: int
    tile: int
    lanes: int

    def row(self, index: int) -> bytes:
        value, made = sha(b"ogv1/row\0" + self.seed + le(index, 8)), b""
        for _ in range(self.n // 32):
            for _ in range(self.chain):
                value = sha(value)
            made += value
        return made

    def matrix(self) -> list[bytes]:
        return [self.row(index) for index in range(self.rows)]

    def fingerprints(self, number: int, previous: bytes, m: int) -> list[bytes]:
        bound = (self.seed, le(number, 4), previous)
        operand, masks = stream(tagged("x", *bound), self.n * m), stream(tagged("w", *bound), 20 * m)
        w = [int.from_bytes(masks[4 * j : 4 * j + 4], "little") for j in range(m)]
        u, v = (
            [int.from_bytes(masks[at + 8 * j : at + 8 * j + 8], "little") | 1 for j in range(m)]
            for at in (4 * m, 12 * m)
        )
        made = []
        for row in self.matrix():
            first = second = 0
            for j in range(m):
                column = operand[j * self.n : (j + 1) * self.n]
                product = sum(signed(x) * signed(y) for x, y in zip(row, column, strict=True))
                mixed = fmix32((product & WORD32) ^ w[j])
                first, second = (first + mixed * u[j]) & WORD64, (second + mixed * v[j]) & WORD64
            made.append(le(first, 8) + le(second, 8))
        return made

    def sweep(self, start: bytes, m: int, rounds: int) -> tuple[bytes, ...]:
        roots, previous = [], start
        for number in range(1, rounds + 1):
            prints = self.fingerprints(number, previous, m)
            tiles = [b"".join(prints[at : at + self.tile]) for at in range(0, self.rows, self.tile)]
            previous = root_of([sha(b"\0" + le(index, 8) + content) for index, content in enumerate(tiles)])
            roots.append(previous)
        return tuple(roots)

    def chase(self, nonce: bytes, groups: int, steps: int) -> bytes:
        matrix = b"".join(self.matrix())
        cells, leaves = len(matrix) // 32, []
        for group in range(groups):
            digest = tagged("chase", self.seed, le(group, 4), nonce)
            low, high = (int.from_bytes(digest[at : at + 8], "little") for at in (0, 8))
            states = b""
            for _ in range(steps):
                sums = [0, 0]
                for lane in range(self.lanes):
                    z = splitmix64(low ^ ((lane + 1) * 0xD1B54A32D192ED03 & WORD64))
                    at = 32 * (z * cells >> 64)
                    a, b = (int.from_bytes(matrix[at + half : at + half + 8], "little") for half in (0, 8))
                    sums = [(sums[0] + splitmix64(a ^ z)) & WORD64, (sums[1] + splitmix64((b + z) & WORD64)) & WORD64]
                low = splitmix64(low ^ sums[0])
                rotated = ((low << 17) | (low >> 47)) & WORD64
                high = splitmix64(high ^ sums[1] ^ rotated)
                states += le(low, 8) + le(high, 8)
            leaves += [states[at : at + 1024] for at in range(0, len(states), 1024)]
        return root_of([sha(b"\0" + le(index, 8) + leaf) for index, leaf in enumerate(leaves)])

    def dense(self, inner: int, nonce: bytes) -> tuple[bytes, list[int]]:
        a, b = (stream(tagged(name, self.seed), inner * inner) for name in ("fa", "fb"))
        product = [
            [sum(signed(a[i * inner + k]) * signed(b[k * inner + j]) for k in range(inner)) for j in range(inner)]
            for i in range(inner)
        ]
        rows = [b"".join(le(entry & WORD32, 4) for entry in row) for row in product]
        root = root_of([sha(b"\0" + le(index, 8) + row) for index, row in enumerate(rows)])
        words = stream(tagged("fr", self.seed, root, nonce), 8 * (inner + 8))
        vector = [int.from_bytes(words[at : at + 8], "little") & PRIME for at in range(0, len(words), 8)]
        vector = [word for word in vector if word != PRIME][:inner]
        return root, [sum(x * y for x, y in zip(row, vector, strict=True)) % PRIME for row in product]

"""Merkle trees with distinct leaf and node hashes, padded with zero digests to a power of two (spec graval 4.5)."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graval.primitives import ZERO_DIGEST, little_endian


def leaf_digest(index: int, content: bytes) -> bytes:
    """Digest of a leaf. Its prefix differs from a node's, so that neither can pass for the other."""
    return hashlib.sha256(b"\0" + little_endian(index, 8) + content).digest()


def node_digest(left: bytes, right: bytes) -> bytes:
    """Digest of an inner node."""
    return hashlib.sha256(b"\1" + left + right).digest()


def tree_depth(leaf_count: int) -> int:
    """Length of every path in a tree of so many leaves."""
    return (leaf_count - 1).bit_length()


@dataclass(frozen=True)
class MerkleTree:
    """All levels of a tree, leaves first; the last level is the root alone."""

    leaf_count: int
    levels: tuple[tuple[bytes, ...], ...]

    @classmethod
    def build(cls, leaves: Sequence[bytes]) -> "MerkleTree":
        """Raises ValueError for no leaves."""
        if not leaves:
            raise ValueError("a tree needs at least one leaf")
        level = [*leaves, *[ZERO_DIGEST] * ((1 << tree_depth(len(leaves))) - len(leaves))]
        levels = [tuple(level)]
        while len(level) > 1:
            level = [node_digest(level[index], level[index + 1]) for index in range(0, len(level), 2)]
            levels.append(tuple(level))
        return cls(leaf_count=len(leaves), levels=tuple(levels))

    @property
    def root(self) -> bytes:
        """The commitment."""
        return self.levels[-1][0]

    def path(self, index: int) -> tuple[bytes, ...]:
        """Siblings from a leaf up to the root. Raises IndexError outside the leaves."""
        if not 0 <= index < self.leaf_count:
            raise IndexError(f"leaf {index} of {self.leaf_count}")
        return tuple(level[(index >> height) ^ 1] for height, level in enumerate(self.levels[:-1]))


@dataclass(frozen=True)
class PartialTree:
    """A tree of which only the levels from `cut` up are kept; the leaves below are made again when a path needs them.

    `upper` begins with level `cut` and ends with the root; `make_leaves(first, count)` gives leaves that exist.
    """

    leaf_count: int
    cut: int
    upper: tuple[tuple[bytes, ...], ...]
    make_leaves: Callable[[int, int], Sequence[bytes]]

    @property
    def root(self) -> bytes:
        """The commitment."""
        return self.upper[-1][0]

    def path(self, index: int) -> tuple[bytes, ...]:
        """Siblings from a leaf up to the root.

        Raises:
            IndexError: outside the leaves.
            ArithmeticError: the leaves made now are not those that were committed: the device errs.
        """
        if not 0 <= index < self.leaf_count:
            raise IndexError(f"leaf {index} of {self.leaf_count}")
        part = index >> self.cut
        first, width = part << self.cut, 1 << self.cut
        made = list(self.make_leaves(first, min(width, self.leaf_count - first)))
        below = MerkleTree.build(made + [ZERO_DIGEST] * (width - len(made)))
        if below.root != self.upper[0][part]:
            raise ArithmeticError(f"leaves from {first} on differ from those that were committed")
        above = tuple(level[(part >> height) ^ 1] for height, level in enumerate(self.upper[:-1]))
        return below.path(index - first) + above


def path_is_valid(root: bytes, leaf_count: int, index: int, leaf: bytes, path: Sequence[bytes]) -> bool:
    """Whether the path leads from the leaf to the root at exactly this place of a tree of exactly this size."""
    if not 0 <= index < leaf_count or len(path) != tree_depth(leaf_count):
        return False
    if any(len(sibling) != len(ZERO_DIGEST) for sibling in path):
        return False
    digest = leaf
    for height, sibling in enumerate(path):
        digest = node_digest(sibling, digest) if (index >> height) & 1 else node_digest(digest, sibling)
    return digest == root

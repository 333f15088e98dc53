"""Digests of what is known of a cluster: they find a lost event without sending lists (spec: agent-monitor 20.4).

Per kind the number of objects and the exclusive or of a hash of every `uid:version`: neither order nor history matters,
and one object is added or taken away in constant time. Pure. Not a proof against forgery, only against loss.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from app.protocol.channels import ResourceType

_BYTES: Final = 8
_LONGEST_TEXT: Final = 400


@dataclass(frozen=True)
class Digest:
    """What is known of one kind."""

    count: int = 0
    mix: int = 0

    def with_object(self, uid: str, version: str) -> Digest:
        """One object more."""
        return Digest(self.count + 1, self.mix ^ _fingerprint(uid, version))

    def without(self, uid: str, version: str) -> Digest:
        """One object less; it must have been added before."""
        return Digest(self.count - 1, self.mix ^ _fingerprint(uid, version))


def digest_of(objects: Iterable[tuple[str, str]]) -> Digest:
    """The digest of objects given as uid and version."""
    count = mix = 0
    for uid, version in objects:
        count += 1
        mix ^= _fingerprint(uid, version)
    return Digest(count, mix)


def encode_digests(digests: Mapping[ResourceType, Digest]) -> str:
    """As the header carries them: `pod=2:00ff00ff00ff00ff,node=1:...`."""
    return ",".join(f"{kind}={digest.count}:{digest.mix:0{2 * _BYTES}x}" for kind, digest in digests.items())


def decode_digests(text: str) -> Mapping[ResourceType, Digest]:
    """What a header says; nothing at all when any part of it cannot be read."""
    if not text or len(text) > _LONGEST_TEXT:
        return {}
    digests = {}
    try:
        for part in text.split(","):
            kind, _, rest = part.partition("=")
            count, _, mix = rest.partition(":")
            digests[ResourceType(kind)] = Digest(int(count), int(mix, 16))
    except ValueError:
        return {}
    return digests


def _fingerprint(uid: str, version: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{uid}:{version}".encode(), digest_size=_BYTES).digest())

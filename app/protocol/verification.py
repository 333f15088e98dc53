"""Who may call: headers, time window, signature, replay (spec: protocol 2.6, 2.7, 2.11; decision D13).

Pure: time comes from the caller, and the replay memory is passed in. The answer to every refusal is one constant text;
the reason is for our own log and metrics only.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from app.protocol.signing import Header, Request, SignatureVersion, message_v1, message_v2, verify

#: The detail of every 401: it tells a caller nothing about what we expected.
REFUSAL_DETAIL: Final = "go away (missing)"
WINDOW_SECONDS: Final = 30
_LONGEST_NONCE: Final = 40


class Refusal(StrEnum):
    """Why a request was refused."""

    MISSING = "missing"
    WRONG_PARTY = "wrong_party"
    MALFORMED = "malformed"
    STALE = "stale"
    FUTURE = "future"
    BAD_SIGNATURE = "bad_signature"
    REPLAYED = "replayed"


class ReplayMemory(Protocol):
    """Remembers signatures that were used."""

    def claim(self, signature: str, now: float, until: float) -> bool:
        """True when this signature had not been used; from now to `until` it has been."""
        ...


class LocalReplayMemory:
    """Replay memory of one process; its size follows the request rate within the window."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._expiries: list[tuple[float, str]] = []

    def claim(self, signature: str, now: float, until: float) -> bool:
        while self._expiries and self._expiries[0][0] < now:
            self._used.discard(heapq.heappop(self._expiries)[1])
        if signature in self._used:
            return False
        self._used.add(signature)
        heapq.heappush(self._expiries, (until, signature))
        return True


@dataclass(frozen=True)
class Credentials:
    """The signature headers of one request, complete and well formed, not yet verified."""

    miner: str
    signer: str
    nonce: str
    seconds: int
    signature: str
    version: SignatureVersion


@dataclass(frozen=True)
class ManagementVerifier:
    """Verifies requests between the miner's own programs (profile B), versions 1 and 2.

    Args:
        own_ss58: the miner's address: the only miner that requests may name.
        signers: who may sign; empty stands for the miner alone.
    """

    own_ss58: str
    replays: ReplayMemory
    signers: frozenset[str] = field(default_factory=frozenset)

    def precheck(self, headers: Mapping[str, str], now: float) -> Credentials | Refusal:
        """What can be refused before the body is read. Header names are looked up as given and in lower case."""
        texts = _texts(headers)
        miner, signer, nonce = texts[Header.MINER], texts[Header.VALIDATOR], texts[Header.NONCE]
        if not (miner and signer and nonce and texts[Header.SIGNATURE]):
            return Refusal.MISSING
        if miner != self.own_ss58 or signer not in (self.signers or {self.own_ss58}):
            return Refusal.WRONG_PARTY
        version = texts[Header.VERSION] or "1"
        seconds = nonce_seconds(nonce, version)
        if seconds is None:
            return Refusal.MALFORMED
        credentials = Credentials(
            miner, signer, nonce, seconds, texts[Header.SIGNATURE], SignatureVersion(int(version))
        )
        return _untimely(seconds, now) or credentials

    def check(
        self, credentials: Credentials, request: Request, payload: str, digest: str, now: float
    ) -> Refusal | None:
        """Verify the signature and use it up; None means that the request is the miner's.

        Args:
            payload: what version 1 signs: the body's digest for POST, PUT and PATCH, the route's purpose otherwise.
            digest: what version 2 signs: the body's digest, empty without a body.
        """
        parties = (credentials.miner, credentials.signer)
        if credentials.version is SignatureVersion.V2:
            message = message_v2(parties, request, credentials.nonce, digest)
        else:
            message = message_v1(parties, credentials.nonce, payload)
        if not verify(credentials.signer, message, credentials.signature):
            return Refusal.BAD_SIGNATURE
        until = credentials.seconds + WINDOW_SECONDS + 1
        return None if self.replays.claim(credentials.signature, now, until) else Refusal.REPLAYED


def _texts(headers: Mapping[str, str]) -> dict[Header, str]:
    return {name: headers.get(name.value) or headers.get(name.value.lower(), "") for name in Header}


def _untimely(seconds: int, now: float) -> Refusal | None:
    if now - seconds >= WINDOW_SECONDS:
        return Refusal.STALE
    if seconds - now > WINDOW_SECONDS:
        return Refusal.FUTURE
    return None


def nonce_seconds(nonce: str, version: str) -> int | None:
    """The time in a nonce, in Unix seconds; None for a malformed nonce or an unknown version."""
    if len(nonce) > _LONGEST_NONCE or not nonce.isascii():
        return None
    if version == "1":
        return int(nonce) if nonce.isdigit() else None
    seconds, dot, random = nonce.partition(".")
    is_random = len(random) == 16 and all(c in "0123456789abcdef" for c in random)
    return int(seconds) if version == "2" and dot and is_random and seconds.isdigit() else None

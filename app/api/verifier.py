"""Checks inbound signatures, profile B, versions 1 and 2 (spec: protocol 2.7, 2.11, 23.2; DESIGN D13).

Malformed input of every kind is one refusal. The message and the key are never logged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from bittensor_wallet import Keypair
from prometheus_client import Counter

from app.api.errors import UnauthorisedError
from app.api.replay import ReplayGuard
from app.api.settings import WINDOW_SECONDS, SignatureStage
from app.protocol.signing import Header, Purpose, Request, SignatureVersion, body_digest, message_v1, message_v2

BODY_METHODS: Final = frozenset({"POST", "PUT", "PATCH"})
_NONCE_V1: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
_NONCE_V2: Final = re.compile(r"([0-9]{1,12})\.[0-9a-f]{16}", re.ASCII)
_SIGNATURE: Final = re.compile(r"[0-9a-f]{128}", re.ASCII)
_MINER: Final = Header.MINER.value.lower()
_SIGNER: Final = Header.VALIDATOR.value.lower()
_NONCE: Final = Header.NONCE.value.lower()
_SIGNED: Final = Header.SIGNATURE.value.lower()
_VERSION: Final = Header.VERSION.value.lower()

REQUESTS: Final = Counter("headframe_api_signatures", "Checked signatures", ["version", "outcome"])
_ACCEPTED: Final = {version: REQUESTS.labels(str(version.value), "accepted") for version in SignatureVersion}


class Signed(NamedTuple):
    """A request as far as signatures concern it. `body` is what was sent, empty where nothing was."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    purpose: Purpose


class Verifier:
    """Accepts requests that the miner's own key signed.

    Args:
        clock: Unix seconds.
    """

    def __init__(
        self, hotkey: str, guard: ReplayGuard, *, clock: Callable[[], float], stage: SignatureStage = SignatureStage.OFF
    ) -> None:
        self._hotkey = hotkey
        self._guard = guard
        self._clock = clock
        self._keypair = Keypair(ss58_address=hotkey)
        self.stage = stage

    async def authorise(self, request: Signed) -> SignatureVersion:
        """Return the version by which a request is authorised, and use its signature up.

        Raises:
            UnauthorisedError: for any defect at all.
            UnavailableError: Redis is away, so that a replay could not be told.
        """
        try:
            version, token = self._check(request)
        except UnauthorisedError:
            REQUESTS.labels("?", "refused").inc()
            raise
        if not await self._guard.is_fresh(token):
            REQUESTS.labels(str(version.value), "replayed").inc()
            raise UnauthorisedError("the signature was used before")
        _ACCEPTED[version].inc()
        return version

    def precheck(self, headers: Mapping[str, str]) -> None:
        """Refuse what the headers alone condemn, before a body is read.

        Raises:
            UnauthorisedError: they are not complete, not in time, or not the miner's.
        """
        try:
            self._check_headers(headers)
        except UnauthorisedError:
            REQUESTS.labels("?", "refused").inc()
            raise

    def _check_headers(self, headers: Mapping[str, str]) -> tuple[str, str, str]:
        """Nonce, signature and version."""
        nonce, signature = headers.get(_NONCE, ""), headers.get(_SIGNED, "")
        if headers.get(_MINER) != self._hotkey:
            raise UnauthorisedError("the request is for another miner, or names none")
        if headers.get(_SIGNER) != self._hotkey:
            raise UnauthorisedError("the signer is not this miner")
        if _SIGNATURE.fullmatch(signature) is None:
            raise UnauthorisedError("the signature is not 128 lower-case hex digits")
        version = headers.get(_VERSION, "1")
        self._check_time(_seconds_of(nonce, version))
        if version == "1" and self.stage is SignatureStage.REQUIRE:
            raise UnauthorisedError("version 1 is no longer accepted here")
        return nonce, signature, version

    def _check(self, request: Signed) -> tuple[SignatureVersion, str]:
        nonce, signature, version = self._check_headers(request.headers)
        message = self._message_v2(request, nonce) if version == "2" else self._message_v1(request, nonce)
        if not self._verifies(message, signature):
            raise UnauthorisedError("the signature does not verify")
        return (SignatureVersion.V2, nonce) if version == "2" else (SignatureVersion.V1, signature)

    def _check_time(self, seconds: str) -> None:
        if not seconds:
            raise UnauthorisedError("the nonce is malformed")
        if abs(self._clock() - int(seconds)) > WINDOW_SECONDS:
            raise UnauthorisedError("the nonce is outside the window of 30 s: clocks differ, or it is an old request")

    def _message_v1(self, request: Signed, nonce: str) -> bytes:
        payload = body_digest(request.body) if request.method in BODY_METHODS else request.purpose.value
        return message_v1((self._hotkey, self._hotkey), nonce, payload)

    def _message_v2(self, request: Signed, nonce: str) -> bytes:
        digest = body_digest(request.body) if request.body else ""
        return message_v2((self._hotkey, self._hotkey), Request(request.method, request.target), nonce, digest)

    def _verifies(self, message: bytes, signature: str) -> bool:
        try:
            return bool(self._keypair.verify(message, bytes.fromhex(signature)))
        except ValueError:  # 64 bytes that are no point of the curve
            return False


def _seconds_of(nonce: str, version: str) -> str:
    """The time in a nonce, empty in a malformed one."""
    if version == "1":
        return nonce if _NONCE_V1.fullmatch(nonce) else ""
    if version != "2":
        raise UnauthorisedError("the signature version is unknown")
    found = _NONCE_V2.fullmatch(nonce)
    return found[1] if found else ""

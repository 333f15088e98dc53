"""Request signatures, versions 1 and 2 (spec: protocol 2): the strings that are signed, the headers that carry them.

Pure: the time and the random part of a nonce come from the caller. Replay windows and caches live with the verifier.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from bittensor_wallet import Keypair

SIGNATURE_LENGTH_BYTES = 64


class Header(StrEnum):
    """Names of the signature headers. `VALIDATOR` names the signer wherever it is sent."""

    HOTKEY = "X-Chutes-Hotkey"
    MINER = "X-Chutes-Miner"
    VALIDATOR = "X-Chutes-Validator"
    NONCE = "X-Chutes-Nonce"
    SIGNATURE = "X-Chutes-Signature"
    VERSION = "X-Chutes-Sig-Version"
    BLOCK = "X-Chutes-Block"


class Purpose(StrEnum):
    """What a signature without a body may be used for (spec: protocol 2.9)."""

    ATTEST = "attest"
    CACHE = "cache"
    CHUTES = "chutes"
    GRAVAL = "graval"
    IMAGES = "images"
    INSTANCES = "instances"
    KUBECONFIG = "kubeconfig"
    LAUNCH = "launch"
    MANAGEMENT = "management"
    MINER = "miner"
    MONITORING = "monitoring"
    NODES = "nodes"
    REGISTRATION = "registration"
    REGISTRY = "registry"
    SOCKETS = "sockets"
    STATUS = "status"
    TEE = "tee"


class SignatureVersion(IntEnum):
    """1 binds signer, time and purpose or body; 2 also binds method, path and query, and its nonces are single-use."""

    V1 = 1
    V2 = 2


@dataclass(frozen=True)
class Request:
    """The part of a request that version 2 binds: upper-case method, and path with the query if there is one."""

    method: str
    target: str


def body_digest(body: bytes) -> str:
    """Lower-case hex SHA-256 of the bytes as sent."""
    return hashlib.sha256(body).hexdigest()


def message_v1(parties: tuple[str, ...], nonce: str, payload: str) -> bytes:
    """The bytes that version 1 signs.

    Args:
        parties: `(hotkey,)` for requests to validators; `(miner, signer)` for management and validator requests.
        nonce: the nonce header's text, as sent.
        payload: the purpose, or the body's digest where there is a body.
    """
    return ":".join((*parties, nonce, payload)).encode()


def message_v2(parties: tuple[str, ...], request: Request, nonce: str, digest: str = "") -> bytes:
    """The bytes that version 2 signs; `digest` is empty when there is no body, and the purpose is no part of it."""
    return ":".join(("v2", *parties, request.method.upper(), request.target, nonce, digest)).encode()


def nonce_v1(unix_seconds: float) -> str:
    """A version 1 nonce: whole seconds."""
    return str(int(unix_seconds))


def nonce_v2(unix_seconds: float, random_bytes: bytes) -> str:
    """A version 2 nonce: whole seconds and 8 random bytes in hex.

    Raises:
        ValueError: `random_bytes` is not 8 bytes long.
    """
    if len(random_bytes) != 8:
        raise ValueError(f"a version 2 nonce takes 8 random bytes, got {len(random_bytes)}")
    return f"{int(unix_seconds)}.{random_bytes.hex()}"


def verify(signer_ss58: str, message: bytes, signature_hex: str) -> bool:
    """Whether the signature is this signer's over exactly this message. Malformed input of any kind is just False."""
    try:
        signature = bytes.fromhex(signature_hex)
        if len(signature) != SIGNATURE_LENGTH_BYTES or signature_hex != signature.hex():
            return False
        return bool(Keypair(ss58_address=signer_ss58).verify(message, signature))
    except ValueError:  # what the binding raises for a bad address or a structurally invalid signature
        return False


@dataclass(frozen=True)
class Signer:
    """A hotkey that can sign. Its secret shows in neither repr nor str."""

    keypair: Keypair = field(repr=False)

    @classmethod
    def from_seed(cls, seed_hex: str) -> Signer:
        """From a 32-byte seed in hex, with or without `0x`.

        Raises:
            ValueError: the text is not 64 hex digits. The message does not repeat it.
        """
        digits = seed_hex.strip().removeprefix("0x")
        if len(digits) != 64 or any(c not in "0123456789abcdefABCDEF" for c in digits):
            raise ValueError(f"a hotkey seed is 64 hex digits, with or without 0x; got {len(digits)} characters")
        # The binding takes hex text; its stub (4.1.1) says bytes.
        return cls(Keypair.create_from_seed("0x" + digits))  # type: ignore[arg-type]

    @property
    def ss58(self) -> str:
        """The hotkey's address, prefix 42."""
        return str(self.keypair.ss58_address)

    def sign(self, message: bytes) -> str:
        """Lower-case hex without `0x`. sr25519 is randomised: two signatures over one message differ."""
        return bytes(self.keypair.sign(message)).hex()

    def hotkey_headers(
        self, nonce: str, *, purpose: Purpose | None = None, body: bytes | None = None
    ) -> dict[str, str]:
        """Headers of profile A, version 1: requests to validators, worker VMs and the registry."""
        message = message_v1((self.ss58,), nonce, _payload(purpose, body))
        return {Header.HOTKEY.value: self.ss58, Header.NONCE.value: nonce, Header.SIGNATURE.value: self.sign(message)}

    def management_headers(
        self, nonce: str, *, purpose: Purpose | None = None, body: bytes | None = None
    ) -> dict[str, str]:
        """Headers of profile B, version 1: between the miner's own programs."""
        message = message_v1((self.ss58, self.ss58), nonce, _payload(purpose, body))
        return self._management(nonce, message)

    def hotkey_headers_v2(self, nonce: str, request: Request, *, body: bytes | None = None) -> dict[str, str]:
        """Headers of profile A, version 2."""
        message = message_v2((self.ss58,), request, nonce, body_digest(body) if body is not None else "")
        return {
            Header.HOTKEY.value: self.ss58,
            Header.NONCE.value: nonce,
            Header.SIGNATURE.value: self.sign(message),
            Header.VERSION.value: str(SignatureVersion.V2.value),
        }

    def management_headers_v2(self, nonce: str, request: Request, *, body: bytes | None = None) -> dict[str, str]:
        """Headers of profile B, version 2."""
        message = message_v2((self.ss58, self.ss58), request, nonce, body_digest(body) if body is not None else "")
        return self._management(nonce, message) | {Header.VERSION.value: str(SignatureVersion.V2.value)}

    def _management(self, nonce: str, message: bytes) -> dict[str, str]:
        return {
            Header.MINER.value: self.ss58,
            Header.VALIDATOR.value: self.ss58,
            Header.NONCE.value: nonce,
            Header.SIGNATURE.value: self.sign(message),
        }


def _payload(purpose: Purpose | None, body: bytes | None) -> str:
    if body is not None:
        return body_digest(body)
    if purpose is None:
        raise ValueError("a signature needs a body or a purpose: pass one of them")
    return purpose.value

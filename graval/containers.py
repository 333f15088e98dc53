"""Messages that only the prover of a session can read: X25519, HKDF, AES-256-GCM (spec graval 4.8).

The outer framing is the public one, `seed|base64(16 bytes, rest)`; the 16 bytes are a magic number and the nonce.
Keys are held in memory only; nothing here writes or logs them.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from graval.session import Session

MAGIC: Final = b"OGV1"
NONCE_BYTES: Final = 12
_INFO: Final = b"ogv1/aead"


class ContainerRefusedError(ValueError):
    """A container that is malformed, or not for this key, session and work. It never says which of the three."""


@dataclass(frozen=True)
class Container:
    """A sealed message with the integer seed that the public framing carries beside it."""

    seed: int
    sealed: bytes

    def text(self) -> str:
        """The framing on the wire."""
        return f"{self.seed}|{base64.b64encode(self.sealed).decode('ascii')}"

    @classmethod
    def parse(cls, text: str) -> "Container":
        """Raises ContainerRefusedError for anything but the framing."""
        seed, separator, encoded = text.partition("|")
        if not (separator and seed.isascii() and seed.isdigit() and len(seed) <= 19):
            raise ContainerRefusedError("expected `seed|base64`")
        try:
            return cls(int(seed), base64.b64decode(encoded, validate=True))
        except binascii.Error as error:
            raise ContainerRefusedError("the part after the bar is no base64") from error


def message_key(session: Session, private_key: X25519PrivateKey, peer_public_key: bytes, work_key: bytes) -> bytes:
    """Key of a session's messages: it takes both the private key and the work.

    `work_key` is the lock key of the last round, or in commit mode the last root. Raises ContainerRefusedError for a
    public key that X25519 refuses.
    """
    try:
        shared = private_key.exchange(X25519PublicKey.from_public_bytes(peer_public_key))
    except ValueError as error:
        raise ContainerRefusedError("the peer's public key is no usable X25519 key") from error
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=session.seed(), info=_INFO).derive(work_key + shared)


def associated_data(session: Session, session_id: str) -> bytes:
    """What a container is bound to besides its key."""
    return session.device.digest() + session.parameters.pack() + session_id.encode()


def seal(key: bytes, nonce: bytes, plaintext: bytes, bound_to: bytes) -> bytes:
    """Sealed bytes. The nonce is 12 fresh random bytes; never use one twice under a key."""
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"nonce of {len(nonce)} bytes, expected {NONCE_BYTES}")
    return MAGIC + nonce + AESGCM(key).encrypt(nonce, plaintext, bound_to)


def unseal(key: bytes, sealed: bytes, bound_to: bytes) -> bytes:
    """The plaintext. Raises ContainerRefusedError."""
    header = len(MAGIC) + NONCE_BYTES
    if len(sealed) < header or not sealed.startswith(MAGIC):
        raise ContainerRefusedError("this is no container of the scheme ogv1")
    try:
        return AESGCM(key).decrypt(sealed[len(MAGIC) : header], sealed[header:], bound_to)
    except InvalidTag as error:
        raise ContainerRefusedError("the container does not open with this key, session and work") from error

"""The text cipher of a launch: AES-128-CBC with PKCS7, as chutes and validators speak it (spec: graval 2.6)."""

from __future__ import annotations

from base64 import b64decode, b64encode

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7


def encrypt(key_hex: str, iv: bytes, text: str) -> str:
    """Base64 of the text under a key of 32 hex digits."""
    padder = PKCS7(AES128.block_size).padder()
    encryptor = Cipher(AES128(bytes.fromhex(key_hex)), CBC(iv)).encryptor()
    padded = padder.update(text.encode()) + padder.finalize()
    return b64encode(encryptor.update(padded) + encryptor.finalize()).decode()


def decrypt(key_hex: str, iv: bytes, sealed: str) -> str:
    """The inverse.

    Raises:
        ValueError: not base64, not whole blocks, wrong padding, no text.
    """
    decryptor = Cipher(AES128(bytes.fromhex(key_hex)), CBC(iv)).decryptor()
    unpadder = PKCS7(AES128.block_size).unpadder()
    padded = decryptor.update(b64decode(sealed, validate=True)) + decryptor.finalize()
    return (unpadder.update(padded) + unpadder.finalize()).decode()

"""The backup's file: named contents, packed and sealed with a password. Pure: bytes in, bytes out.

Sealed because it holds the stack's state beside the passphrase that opens it.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

_MAGIC: Final = b"headframe-backup-1\n"
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32
#: RFC 7914's cost for files: about 0.1 s and 32 MiB.
_COST: Final = 2**15
#: Random bytes that `seal` needs: salt and nonce.
RANDOM_BYTES: Final = _SALT_BYTES + _NONCE_BYTES


class ArchiveError(ValueError):
    """Not a backup, damaged, or another password."""


def seal(files: Mapping[str, bytes], password: str, random: bytes) -> bytes:
    """One sealed archive.

    Args:
        random: `RANDOM_BYTES` fresh random bytes.
    """
    salt, nonce = random[:_SALT_BYTES], random[_SALT_BYTES:RANDOM_BYTES]
    return _MAGIC + salt + nonce + AESGCM(_key(password, salt)).encrypt(nonce, _packed(files), _MAGIC)


def unseal(content: bytes, password: str) -> dict[str, bytes]:
    """The contents by name.

    Raises:
        ArchiveError: it cannot be opened.
    """
    if not content.startswith(_MAGIC):
        raise ArchiveError("this is no file of `headframe backup`")
    rest = content[len(_MAGIC) :]
    salt, nonce = rest[:_SALT_BYTES], rest[_SALT_BYTES:RANDOM_BYTES]
    try:
        packed = AESGCM(_key(password, salt)).decrypt(nonce, rest[RANDOM_BYTES:], _MAGIC)
    except (InvalidTag, ValueError):
        raise ArchiveError("the backup cannot be opened: the password is another one, or the file is damaged") from None
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        return {member.name: file.read() for member in archive if (file := archive.extractfile(member)) is not None}


def _key(password: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=_KEY_BYTES, n=_COST, r=8, p=1).derive(password.encode())


def _packed(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o600
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()

"""Kubeconfigs at rest: sealed with a key that comes from the miner's seed, so that a database alone opens no cluster.

A dump, a replica or a backup of the database holds sealed text only. Plain text, as public programs wrote it, is still
read; `align` turns what is stored into what the settings want, either way. No clock, no logging of what was read.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.storage.models import Server

#: No kubeconfig starts like this: it is neither a YAML mapping nor JSON.
PREFIX: Final = "headframe-sealed:v1:"
_PURPOSE: Final = b"headframe kubeconfig v1"
_NONCE_BYTES: Final = 12


class SealError(ValueError):
    """Sealed text that this key does not open: another miner's seed, another server's row, or damage."""


@dataclass(frozen=True)
class Vault:
    """Seals and opens text of one server each. Its key shows in no repr."""

    key: bytes = field(repr=False)
    random: Callable[[int], bytes] = os.urandom

    @classmethod
    def of_seed(cls, seed_hex: str) -> Vault:
        """The vault of a miner's hotkey.

        Raises:
            ValueError: the seed is not hex, with or without `0x`.
        """
        seed = bytes.fromhex(seed_hex.strip().removeprefix("0x"))
        return cls(HKDF(SHA256(), length=32, salt=None, info=_PURPOSE).derive(seed))

    def seal(self, server_id: str, text: str) -> str:
        """Text that only this vault opens, and only for this server."""
        nonce = self.random(_NONCE_BYTES)
        sealed = AESGCM(self.key).encrypt(nonce, text.encode(), server_id.encode())
        return PREFIX + b64encode(nonce + sealed).decode()

    def open(self, server_id: str, stored: str) -> str:
        """What was sealed; plain text comes back as it is.

        Raises:
            SealError: it was sealed and does not open.
        """
        if not stored.startswith(PREFIX):
            return stored
        try:
            raw = b64decode(stored.removeprefix(PREFIX), validate=True)
            return AESGCM(self.key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], server_id.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise SealError(
                f"the stored kubeconfig of {server_id} does not open with this MINER_SEED; add the node again"
            ) from error


async def align(engine: AsyncEngine, vault: Vault, *, sealed: bool) -> int:
    """Seal every stored kubeconfig, or store all of them plain; returns how many were changed.

    A row that does not open stays as it is.
    """
    changed = 0
    async with AsyncSession(engine) as session, session.begin():
        rows = await session.execute(
            select(Server.server_id, Server.kubeconfig)
            .where(Server.kubeconfig.is_not(None), Server.kubeconfig.startswith(PREFIX) != sealed)
            .with_for_update()
        )
        for server_id, stored in rows.all():
            text = stored or ""
            try:
                text = vault.seal(server_id, text) if sealed else vault.open(server_id, text)
            except SealError:
                continue
            await session.execute(update(Server).where(Server.server_id == server_id).values(kubeconfig=text))
            changed += 1
    return changed

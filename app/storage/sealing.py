"""Kubeconfigs at rest: sealed with a key that comes from the miner's seed, so that a database alone opens no cluster.

A dump, a replica or a backup of the database holds sealed text only, and who can only write there cannot put a
cluster of his own in the place of ours: plain text is refused. Text that public programs wrote is taken over by an
explicit command of the operator's (`python -m app.storage seal`), or read as it is where the settings say that such
programs share the database. No clock, no logging.
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
from sqlalchemy import Select, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.storage.models import Server

#: No kubeconfig starts like this: it is neither a YAML mapping nor JSON.
PREFIX: Final = "headframe-sealed:v1:"
_PURPOSE: Final = b"headframe kubeconfig v1"
_NONCE_BYTES: Final = 12
SEED_BYTES: Final = 32


class SealError(ValueError):
    """Stored text that is not used: another miner's seed, another server's row, damage, or not sealed at all."""


class PlainTextError(SealError):
    """Stored text that is not sealed, where sealing is on."""


@dataclass(frozen=True)
class Vault:
    """Seals and opens text of one server each. Its key shows in no repr.

    Args:
        key: 32 bytes.
        accepts_plain: also open text that is not sealed, because public programs share the database.
        random: gives nonces.
    """

    key: bytes = field(repr=False)
    accepts_plain: bool = False
    random: Callable[[int], bytes] = os.urandom

    @classmethod
    def of_seed(cls, seed_hex: str, *, accepts_plain: bool = False) -> Vault:
        """The vault of a miner's hotkey.

        Raises:
            ValueError: the seed is not 32 bytes of hex, with or without `0x`. The message shows nothing of it.
        """
        digits = seed_hex.strip().removeprefix("0x")
        try:
            seed = bytes.fromhex(digits)
        except ValueError:
            raise ValueError("MINER_SEED is no hex number: 64 digits were wanted") from None
        if len(seed) != SEED_BYTES:
            raise ValueError(
                f"MINER_SEED has {len(seed)} bytes, {SEED_BYTES} were wanted: take the hotkey's secretSeed"
            )
        return cls(HKDF(SHA256(), length=32, salt=None, info=_PURPOSE).derive(seed), accepts_plain)

    def seal(self, server_id: str, text: str) -> str:
        """Text that only this vault opens, and only for this server."""
        nonce = self.random(_NONCE_BYTES)
        sealed = AESGCM(self.key).encrypt(nonce, text.encode(), server_id.encode())
        return PREFIX + b64encode(nonce + sealed).decode()

    def open(self, server_id: str, stored: str) -> str:
        """What was sealed for this server.

        Raises:
            PlainTextError: it is not sealed, and that is not accepted here.
            SealError: it was sealed and does not open.
        """
        if not stored.startswith(PREFIX):
            if self.accepts_plain:
                return stored
            raise PlainTextError(
                f"the stored kubeconfig of {server_id} is not sealed, and is not used: if it is yours, take it over by "
                "`python -m app.storage seal` in the API's pod; if you do not know it, add the node again"
            )
        try:
            raw = b64decode(stored.removeprefix(PREFIX), validate=True)
            return AESGCM(self.key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], server_id.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise SealError(
                f"the stored kubeconfig of {server_id} does not open with this MINER_SEED; add the node again"
            ) from error


@dataclass(frozen=True, slots=True)
class Aligned:
    """How many stored kubeconfigs were changed, and the ids of the servers whose text does not open: those stay."""

    changed: int
    unopened: tuple[str, ...] = ()


async def align(engine: AsyncEngine, vault: Vault, *, sealed: bool) -> Aligned:
    """Seal every stored kubeconfig, or store all of them plain. An operator's wish: it takes over whatever is there."""
    changed, unopened = 0, []
    async with AsyncSession(engine) as session, session.begin():
        rows = await session.execute(_unlike(sealed=sealed).with_for_update())
        for server_id, _, stored in rows.all():
            text = stored or ""
            try:
                text = vault.seal(server_id, text) if sealed else vault.open(server_id, text)
            except SealError:
                unopened.append(server_id)
                continue
            await session.execute(update(Server).where(Server.server_id == server_id).values(kubeconfig=text))
            changed += 1
    return Aligned(changed, tuple(unopened))


async def plain_servers(engine: AsyncEngine) -> tuple[str, ...]:
    """Names of the servers whose stored kubeconfig is not sealed."""
    async with AsyncSession(engine) as session:
        return tuple(name for _, name, _ in (await session.execute(_unlike(sealed=True))).all())


def _unlike(*, sealed: bool) -> Select[str, str, str | None]:
    """Servers whose kubeconfig is plain where sealed ones are wanted, or the other way round."""
    return (
        select(Server.server_id, Server.name, Server.kubeconfig)
        .where(Server.kubeconfig.is_not(None), Server.kubeconfig != "", Server.kubeconfig.startswith(PREFIX) != sealed)
        .order_by(Server.name)
    )

"""The lab's hotkeys: throw-away sr25519 keys, made on first use in the state folder; no network knows them."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Final

from app.protocol.signing import Signer

_SEED_BYTES: Final = 32


def hotkey_file(state: Path, owner: str = "miner") -> Path:
    """Path of one owner's key (mode 0600), in the form of a wallet's hotkey file; made if absent."""
    path = state / owner / "hotkey"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    seed = f"0x{secrets.token_hex(_SEED_BYTES)}"
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return path
    with os.fdopen(handle, "w") as file:
        json.dump({"ss58Address": Signer.from_seed(seed).ss58, "secretSeed": seed}, file)
    return path


def hotkey_address(state: Path, owner: str = "miner") -> str:
    """The key's SS58 address."""
    address: str = json.loads(hotkey_file(state, owner).read_text())["ss58Address"]
    return address


def hotkey_seed(state: Path) -> str:
    """The miner's seed, for the engine's standard input alone."""
    seed: str = json.loads(hotkey_file(state).read_text())["secretSeed"]
    return seed

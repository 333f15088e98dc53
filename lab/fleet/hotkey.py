"""The lab's hotkey: a throw-away sr25519 key, made on first use in the state folder; no network knows it."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Final

from app.protocol.signing import Signer

_SEED_BYTES: Final = 32


def hotkey_file(state: Path) -> Path:
    """Path of the key (mode 0600), in the form of a wallet's hotkey file; made if absent."""
    path = state / "miner" / "hotkey"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    seed = f"0x{secrets.token_hex(_SEED_BYTES)}"
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return path
    with os.fdopen(handle, "w") as file:
        json.dump({"ss58Address": Signer.from_seed(seed).ss58, "secretSeed": seed}, file)
    return path


def hotkey_address(state: Path) -> str:
    """The key's SS58 address."""
    address: str = json.loads(hotkey_file(state).read_text())["ss58Address"]
    return address

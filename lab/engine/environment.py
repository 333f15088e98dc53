"""The environment in which the engine runs the program here, and the passphrase of its state. No other side effects."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lab.engine.toolchain import Toolchain

_PASSPHRASE_BYTES: Final = 24


def engine_environment(toolchain: Toolchain, state: Path, base: Mapping[str, str]) -> dict[str, str]:
    """Environment for `pulumi` and `headframe`: this clone's toolchain, state and passphrase file.

    Args:
        toolchain: what runs the program.
        state: the clone's state folder.
        base: the environment to start from; its own Pulumi settings are dropped, they are for other stacks.
    """
    kept = {name: value for name, value in base.items() if not name.startswith("PULUMI_")}
    own = {
        "PATH": f"{toolchain.folder}{os.pathsep}{base.get('PATH', os.defpath)}",
        "PULUMI_HOME": str(toolchain.home),
        "PULUMI_BACKEND_URL": f"file://{backend_folder(state)}",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase_file(state)),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # One dead node must not stop the others (docs/architecture: D7).
        "PULUMI_CONTINUE_ON_ERROR": "true",
    }
    if toolchain.stand_ins:
        own["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
    return kept | own


def backend_folder(state: Path) -> Path:
    """Where the engine keeps the lab's stacks."""
    folder = state / "pulumi"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def passphrase_file(state: Path) -> Path:
    """File with the passphrase that encrypts the lab's secrets; made on first use, readable by its owner alone."""
    path = state / "passphrase"
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return path
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_urlsafe(_PASSPHRASE_BYTES))
    return path

"""Digest of what deploys a machine: an edited deploy must show up as a change of every host."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

_FOLDERS: Final = ("hosts", "spec")


@cache
def deploy_digest() -> str:
    """Hash over the sources of the runner and the specs, and over pyinfra's version."""
    infra = Path(__file__).parents[1]
    digest = hashlib.sha256(version("pyinfra").encode())
    for folder in _FOLDERS:
        for path in sorted((infra / folder).rglob("*.py")):
            digest.update(f"\0{path.relative_to(infra)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]

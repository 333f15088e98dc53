"""The public command line package in an environment of its own, from the package registry; never skipped."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.support.environments import environment

PACKAGE: Final = "chutes-miner-cli==0.1.0"


@pytest.fixture(scope="session")
def public_python() -> Path:
    """Its interpreter; the command is beside it. Made once per machine; a registry that does not answer is an error."""
    return environment("public-cli", (PACKAGE,))

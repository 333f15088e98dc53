"""Every test of the tracker gets a home of its own: the SDK keeps metadata on disk under the genesis hash.

Tests that ask for `sdk` run twice, once with each generation.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sdks import OlderWorker, Sdk, installed


@pytest.fixture(autouse=True)
def fresh_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh HOME and cache folder."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("BITTENSOR_RUNTIME_CACHE_DIR", str(home / "runtime"))
    for name in ("TRACKER_NETWORK", "TRACKER_DIR", "TRACKER_STORE", "TRACKER_HOTKEYS", "TRACKER_ARCHIVE"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture(scope="session")
def older() -> Iterator[OlderWorker]:
    """One process with the older generation for the whole run; its environment is made on first use."""
    worker = OlderWorker()
    yield worker
    worker.close()


@pytest.fixture(params=["bittensor 11", "bittensor 10.5"])
def sdk(request: pytest.FixtureRequest, fresh_home: Path) -> Sdk:
    """Each generation of the SDK in turn."""
    home = {"HOME": str(fresh_home), "BITTENSOR_RUNTIME_CACHE_DIR": str(fresh_home / "runtime")}
    if request.param == "bittensor 11":
        return installed(home)
    worker: OlderWorker = request.getfixturevalue("older")
    return worker.sdk(home)

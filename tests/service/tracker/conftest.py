"""Every test of the tracker gets a home of its own: the SDK keeps metadata on disk under the genesis hash."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def fresh_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh HOME and cache folder."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("BITTENSOR_RUNTIME_CACHE_DIR", str(home / "runtime"))
    for name in ("TRACKER_NETWORK", "TRACKER_DIR", "TRACKER_STORE", "TRACKER_HOTKEYS"):
        monkeypatch.delenv(name, raising=False)
    return home

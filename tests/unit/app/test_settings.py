"""A program that cannot start says which setting is wrong, and repeats no value: the environment holds seeds."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from agent.cache.settings import CleanerSettings
from agent.watch.settings import AgentSettings
from app.api.settings import Settings as ApiSettings
from app.audit.__main__ import AuditSettings
from app.gepetto.settings import GepettoSettings
from app.observe.settings import MonitorSettings

_MARKER = "marker-that-must-not-show"
_WRONG = {"CACHE_MAX_AGE_DAYS": _MARKER, "HEARTBEAT_INTERVAL": _MARKER, "POSTGRESQL": _MARKER, "MINER_SEED": _MARKER}


@pytest.mark.parametrize(
    "settings", [AgentSettings, ApiSettings, AuditSettings, CleanerSettings, GepettoSettings, MonitorSettings]
)
def test_a_wrong_setting_is_named_and_no_value_is_repeated(
    settings: type[BaseSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in _WRONG.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        settings()
    assert _MARKER not in str(caught.value)
    assert "validation error" in str(caught.value)

"""Cache limits of the stack reach the programs that clean, node by node."""

from __future__ import annotations

import pytest

from agent.cache.settings import CleanerSettings
from app.gepetto.settings import GepettoSettings
from app.protocol.model_cache import CacheLimits, limits_of
from infra.settings import FleetSettings
from infra.settings.model_cache import cleaner_environment
from tests.support.settings import config, gpu_node

EXPECTED = {"gpu-0": CacheLimits(14, 3000), "gpu-1": CacheLimits(3, 900), "gpu-2": CacheLimits(14, 900)}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> FleetSettings:
    """A stack with limits; the environment is the one that its programs get."""
    nodes = [
        gpu_node("gpu-0", "9.0.0.11", model_cache={"max_size_gib": 3000}),
        gpu_node("gpu-1", "9.0.0.12", model_cache={"max_age_days": 3}),
        gpu_node("gpu-2", "9.0.0.13"),
    ]
    made = config(gpu_nodes=nodes, model_cache={"max_age_days": 14, "max_size_gib": 900}).settings
    limits = {node.name: node.model_cache for node in made.gpu_nodes}
    for name, value in cleaner_environment(made.model_cache, limits).items():
        monkeypatch.setenv(name, value)
    return made


def test_the_cleaner_of_each_node_reads_the_limits_of_the_stack(settings: FleetSettings) -> None:
    assert {node.name: CleanerSettings(node_name=node.name).limits for node in settings.gpu_nodes} == EXPECTED


def test_gepetto_gives_every_chute_the_limits_of_its_node(
    settings: FleetSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("POSTGRESQL", "VALIDATORS", "MINER_SS58", "MINER_SEED"):
        monkeypatch.setenv(name, "unused")
    pods = GepettoSettings().pods()
    found = {node.name: limits_of(node.name, pods.cache_limits, pods.cache_overrides) for node in settings.gpu_nodes}
    assert found == EXPECTED


def test_without_limits_in_the_stack_the_defaults_stand_there(settings: FleetSettings) -> None:
    plain = config().settings
    assert cleaner_environment(plain.model_cache, {node.name: node.model_cache for node in plain.gpu_nodes}) == {
        "CACHE_MAX_AGE_DAYS": "30",
        "CACHE_MAX_SIZE_GB": "500",
        "CACHE_OVERRIDES": "{}",
    }

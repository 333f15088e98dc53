"""Simulated GPUs look like their model to whoever matches names and memory, and like nothing real to whoever reads."""

from __future__ import annotations

import json

import pytest

from app.protocol.gpus import GPU_MODELS, match_device_name
from lab.gpus.models import DEVICE_NAMES, MODELS_FILE, models_json, product_label


def test_the_chart_holds_the_catalogue_as_it_is_now() -> None:
    assert MODELS_FILE.read_text() == models_json(), "run: python -m lab.gpus"


@pytest.mark.parametrize("short_ref", sorted(GPU_MODELS))
def test_each_device_name_is_matched_to_its_own_model_and_its_memory_is_in_the_band(short_ref: str) -> None:
    assert match_device_name(DEVICE_NAMES[short_ref]) == GPU_MODELS[short_ref]
    memory_mib = json.loads(models_json())[short_ref]["memoryMib"]
    assert GPU_MODELS[short_ref].accepts_memory(memory_mib * 1024 * 1024)


@pytest.mark.parametrize("short_ref", sorted(GPU_MODELS))
def test_each_product_label_says_simulated_and_is_a_legal_label(short_ref: str) -> None:
    label = product_label(short_ref)
    assert label.startswith("SIMULATED-")
    assert len(label) <= 63
    assert all(character.isalnum() or character in "-_." for character in label)

"""The GPU catalogue against the facts of its chapter."""

from __future__ import annotations

import pytest

from app.protocol.gpus import GPU_MODELS, match_device_name


def test_the_catalogue_has_the_26_entries_of_the_snapshot() -> None:
    assert len(GPU_MODELS) == 26
    assert [model.short_ref for model in GPU_MODELS.values() if not model.enabled] == ["mi300x"]


@pytest.mark.parametrize(
    ("name", "short_ref"),
    [
        ("NVIDIA RTX A4000", "a4000"),
        ("NVIDIA A40", "a40"),
        ("NVIDIA H100 80GB HBM3", "h100_sxm"),
        ("NVIDIA H100 PCIe", "h100"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA H20", "h20"),
        ("NVIDIA A100-SXM4-80GB", "a100_sxm"),
        ("NVIDIA A100-PCIE-40GB", "a100_40gb"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA L40", "l40"),
        ("NVIDIA L4", "l4"),
        ("NVIDIA B200", "b200"),
    ],
)
def test_device_names_match_the_first_fitting_model(name: str, short_ref: str) -> None:
    model = match_device_name(name)
    assert model is not None
    assert model.short_ref == short_ref


def test_an_unknown_device_matches_nothing() -> None:
    assert match_device_name("Voodoo 2") is None


def test_bands_are_those_of_the_validator() -> None:
    h100 = GPU_MODELS["h100_sxm"]
    assert h100.accepts_memory(85_000_000_000)
    assert not h100.accepts_memory(48_000_000_000)
    assert h100.accepts_clock(1980)
    assert not h100.accepts_clock(1000)


def test_multipliers_are_rates_over_the_highest_rate() -> None:
    assert GPU_MODELS["b200"].compute_multiplier == 1.0
    assert max(model.compute_multiplier for model in GPU_MODELS.values()) == 1.0
    assert GPU_MODELS["a4000"].compute_multiplier == pytest.approx(0.0444, abs=1e-4)

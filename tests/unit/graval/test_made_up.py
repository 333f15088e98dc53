"""What simulated devices say of themselves passes a validator's look at a description, and always says SIMULATED."""

from __future__ import annotations

import pytest

from app.protocol.gpus import GPU_MODELS, match_device_name
from graval.backends.made_up import model_of_product
from lab.gpus.models import product_label


@pytest.mark.parametrize("short_ref", [ref for ref, model in GPU_MODELS.items() if model.enabled])
def test_every_product_of_the_labs_plugin_is_described_as_a_validator_wants_that_model(short_ref: str) -> None:
    described, wanted = model_of_product(product_label(short_ref)), GPU_MODELS[short_ref]
    assert match_device_name(described.name) == wanted
    assert described.name.startswith("SIMULATED ")
    assert wanted.accepts_memory(described.memory)
    assert wanted.accepts_clock(described.clock_rate / 1000)
    assert described.processors == wanted.multiprocessors


@pytest.mark.parametrize("product", ["", "NVIDIA-H100-80GB-HBM3", "SIMULATED-NVIDIA-TOASTER"])
def test_a_real_or_unknown_product_is_refused(product: str) -> None:
    with pytest.raises(ValueError, match="begins with SIMULATED"):
        model_of_product(product)

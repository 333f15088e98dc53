"""A pod is told by the simulated validator what its GPUs are, where nothing in its environment says so."""

from __future__ import annotations

import httpx
import pytest

from lab.chute import launch

GPUS = ("a" * 32, "b" * 32)
H100 = "SIMULATED NVIDIA H100 80GB HBM3"


def state(*names: str) -> dict[str, object]:
    return {"nodes": {gpu: {"name": name} for gpu, name in zip(GPUS, names, strict=False)}}


@pytest.mark.parametrize(
    ("answer", "product"),
    [
        (httpx.Response(200, json=state(H100, H100)), H100),
        (httpx.Response(200, json=state(H100, "SIMULATED NVIDIA GeForce RTX 4090")), None),
        (httpx.Response(200, json=state(H100)), None),
        (httpx.Response(200, json=state("NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3")), None),
        (httpx.Response(200, json={}), None),
        (httpx.Response(404), None),
    ],
)
async def test_only_one_known_simulated_model_is_believed(answer: httpx.Response, product: str | None) -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda request: answer)) as http:
        assert await launch._told_product(http, "http://validator", GPUS) == product

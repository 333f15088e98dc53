"""What a simulated GPU of each model calls itself: the real device's name, marked, and the memory of its kind.

The chart reads the result from chart/files/models.json: `python -m lab.gpus` writes it, a test keeps it current.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from app.protocol.gpus import GPU_MODELS

MODELS_FILE: Final = Path(__file__).parent / "chart" / "files" / "models.json"
#: In the product label of every simulated GPU.
MARK: Final = "SIMULATED"
_MIB_PER_GB: Final = 1024
#: Names as drivers report them, which the patterns of the catalogue find.
DEVICE_NAMES: Final = {
    "3090": "NVIDIA GeForce RTX 3090",
    "4090": "NVIDIA GeForce RTX 4090",
    "5090": "NVIDIA GeForce RTX 5090",
    "a4000": "NVIDIA RTX A4000",
    "a4000_ada": "NVIDIA RTX 4000 Ada Generation",
    "a5000": "NVIDIA RTX A5000",
    "a6000": "NVIDIA RTX A6000",
    "a6000_ada": "NVIDIA RTX 6000 Ada Generation",
    "pro_6000": "NVIDIA RTX PRO 6000 Blackwell Server Edition",
    "l4": "NVIDIA L4",
    "a10": "NVIDIA A10",
    "a40": "NVIDIA A40",
    "l40": "NVIDIA L40",
    "l40s": "NVIDIA L40S",
    "a100_40gb": "NVIDIA A100-PCIE-40GB",
    "a100_40gb_sxm": "NVIDIA A100-SXM4-40GB",
    "a100": "NVIDIA A100 80GB PCIe",
    "a100_sxm": "NVIDIA A100-SXM4-80GB",
    "h100": "NVIDIA H100 PCIe",
    "h100_nvl": "NVIDIA H100 NVL",
    "h100_sxm": "NVIDIA H100 80GB HBM3",
    "h800": "NVIDIA H800 PCIe",
    "h20": "NVIDIA H20",
    "h200": "NVIDIA H200",
    "mi300x": "AMD Instinct MI300X gfx942:sramecc",
    "b200": "NVIDIA B200",
}


def product_label(short_ref: str) -> str:
    """Value of the node label nvidia.com/gpu.product: the device's name without spaces, marked as simulated."""
    name = DEVICE_NAMES[short_ref].replace(" ", "-").replace(":", "-")
    return f"{MARK}-{name}"


def models_json() -> str:
    """Content of models.json: product label and memory in MiB by short reference."""
    models = {
        model.short_ref: {"product": product_label(model.short_ref), "memoryMib": model.memory_gb * _MIB_PER_GB}
        for model in GPU_MODELS.values()
    }
    return json.dumps(models, indent=2, sort_keys=True) + "\n"

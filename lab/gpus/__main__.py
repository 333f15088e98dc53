"""Writes the chart's list of models from the GPU catalogue: `python -m lab.gpus`."""

from __future__ import annotations

from lab.gpus.models import MODELS_FILE, models_json

if __name__ == "__main__":
    MODELS_FILE.parent.mkdir(parents=True, exist_ok=True)
    MODELS_FILE.write_text(models_json())
    print(f"wrote {MODELS_FILE}")

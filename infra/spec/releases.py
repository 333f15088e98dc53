"""Names of the Helm releases that the program declares: known to the program and to `headframe recover` alike."""

from __future__ import annotations

from typing import Final

GPU_RUNTIME: Final = "gpu-runtime"
#: Every release of ours.
RELEASES: Final = (GPU_RUNTIME,)

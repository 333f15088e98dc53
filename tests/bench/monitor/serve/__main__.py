"""The monitor under test as its own process: real application, real Redis, servers `gpu-0` to `gpu-99` in memory.

A `__main__` as the real program is one: what a worker process imports at its start depends on that.
"""

from __future__ import annotations

import os

import structlog
import uvicorn

from app.observe.api.application import create_application
from app.observe.settings import MonitorSettings, ObservationMode
from tests.support.observe import MemoryInventory


def main() -> None:
    """Serve on the port and with the key that the environment names."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    settings = MonitorSettings(observation_mode=ObservationMode.PUSH)
    inventory = MemoryInventory.of(*(f"gpu-{n}" for n in range(100)))
    uvicorn.run(
        create_application(settings, inventory),
        host="127.0.0.1",
        port=int(os.environ["BENCH_PORT"]),
        log_level="error",
        access_log=False,
    )


if __name__ == "__main__":
    main()

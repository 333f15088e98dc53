"""The monitor as a program: `python -m app.observe`."""

from __future__ import annotations

import logging

import structlog
import uvicorn

from app.observe.api.application import create_application
from app.observe.settings import MonitorSettings


def main() -> None:
    """Serve until told to stop."""
    settings = MonitorSettings()  # the environment fills it
    level = logging.getLevelNamesMapping()[settings.log_level]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
    uvicorn.run(
        create_application(settings),
        host="0.0.0.0",
        port=settings.port,
        log_level=settings.log_level.lower(),
        access_log=False,
    )


if __name__ == "__main__":
    main()

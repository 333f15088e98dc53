"""The agent as a program: `python -m agent.watch`."""

from __future__ import annotations

import logging

import structlog
import uvicorn

from agent.watch.api import create_application, kubernetes_access
from agent.watch.settings import AgentSettings


def main() -> None:
    """Serve until told to stop."""
    settings = AgentSettings()  # the environment fills it
    level = logging.getLevelNamesMapping()[settings.log_level]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
    uvicorn.run(
        create_application(settings, kubernetes_access(settings)),
        host="0.0.0.0",
        port=settings.port,
        log_level=settings.log_level.lower(),
        access_log=False,
    )


if __name__ == "__main__":
    main()

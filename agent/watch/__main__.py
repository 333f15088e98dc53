"""The agent as a program: `python -m agent.watch`."""

from __future__ import annotations

import uvicorn

from agent.watch.api import create_application, kubernetes_access
from agent.watch.settings import AgentSettings
from app.protocol.program_log import configure_log


def main() -> None:
    """Serve until told to stop."""
    settings = AgentSettings()  # the environment fills it
    configure_log(settings.log_level)
    uvicorn.run(
        create_application(settings, kubernetes_access(settings)),
        host="0.0.0.0",
        port=settings.port,
        log_level=settings.log_level.lower(),
        access_log=False,
    )


if __name__ == "__main__":
    main()

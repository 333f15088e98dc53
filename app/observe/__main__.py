"""The monitor as a program: `python -m app.observe`."""

from __future__ import annotations

import uvicorn

from app.observe.api.application import create_application
from app.observe.settings import MonitorSettings
from app.protocol.program_log import configure_log


def main() -> None:
    """Serve until told to stop."""
    settings = MonitorSettings()  # the environment fills it
    configure_log(settings.log_level)
    uvicorn.run(
        create_application(settings),
        host="0.0.0.0",
        port=settings.port,
        log_level=settings.log_level.lower(),
        access_log=False,
    )


if __name__ == "__main__":
    main()

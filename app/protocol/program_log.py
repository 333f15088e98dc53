"""How every program of ours writes its log: lines for people, and tracebacks without the values of variables.

structlog's own setting shows every frame's variables wherever rich is installed: seeds, tokens and the database's
address with its password would stand in the log (law 3). Programs call this once, before anything else.
"""

from __future__ import annotations

import logging
import sys

import structlog


def configure_log(level: str = "INFO") -> None:
    """Set the log up for this process. `level` is a name of the standard library's; an unknown one counts as INFO."""
    least = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.StackInfoRenderer(),
            structlog.dev.set_exc_info,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=True),
            structlog.dev.ConsoleRenderer(
                colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
    )

"""Writes events as JSON lines to the real standard output, and sends everybody else's prints to standard error."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from infra.spec import Event, LogEvent, LogLevel


class Emitter:
    """One writer for each run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @classmethod
    def on_stdout(cls) -> Emitter:
        """Take standard output for events; what libraries print lands on standard error from now on."""
        stream = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        return cls(stream)

    def emit(self, event: Event) -> None:
        self._stream.write(event.model_dump_json(by_alias=True, exclude_none=True) + "\n")
        self._stream.flush()

    def log(self, level: LogLevel, message: str) -> None:
        self.emit(LogEvent(level=level, message=message))

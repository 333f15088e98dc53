"""The operator's numbers while the process runs: a changed file is taken over, a wrong one is told and left aside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from app.gepetto.decision.configuration import Configuration
from app.gepetto.settings import parse_configuration

log = structlog.get_logger(__name__)


def _ignore(message: str) -> None:
    log.debug("nobody is told", message=message)


class ConfigurationFile:
    """Watches one file (ConfigMap `gepetto-config`).

    Args:
        path: the file; without it the defaults hold.
        on_fault: told of a file that is wrong, once for each version of it.
    """

    def __init__(self, path: Path, on_fault: Callable[[str], None] = _ignore) -> None:
        self._path, self._on_fault = path, on_fault
        self._text: str | None = None

    async def latest(self, current: Configuration) -> Configuration:
        """The file's configuration, or the current one where it did not change or cannot be used."""
        text = await asyncio.to_thread(self._read)
        if text is None or text == self._text:
            return current  # a file that cannot be read for a moment is no wish for the defaults
        is_first, self._text = self._text is None, text
        try:
            found = parse_configuration(text, str(self._path))
        except ValueError as error:
            log.warning("the configuration is wrong and was left aside", reason=str(error)[:500])
            self._on_fault(str(error))
            return current
        if not is_first:
            log.info("configuration taken over", path=str(self._path))
        return found

    def _read(self) -> str | None:
        try:
            return self._path.read_text()
        except (OSError, UnicodeDecodeError):
            return None

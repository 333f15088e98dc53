"""What an agent keeps over restarts: its monitor's address, in a file of mode 0600 (spec: agent-monitor 9.1)."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import structlog

_log = structlog.get_logger(__name__)


def is_usable(url: str) -> bool:
    """Whether this is an address that requests can be sent to."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


class StateFile:
    """Reading and writing never raise: an agent that cannot remember still works until it is restarted."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> str | None:
        """The address; None when there is none or it is unusable."""
        try:
            url = self._path.read_text().strip()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            _log.warning("the monitor's address cannot be read", error=type(error).__name__)
            return None
        return url if is_usable(url) else None

    def save(self, url: str) -> None:
        """Replace the file in one step."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=".control-plane-url-")
            with os.fdopen(descriptor, "w") as file:  # mkstemp makes it 0600
                file.write(url)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path)
        except OSError as error:
            _log.warning("the monitor's address cannot be kept; no start after a restart", error=error.strerror)

    def clear(self) -> None:
        """Forget the address."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("the monitor's address cannot be forgotten", error=error.strerror)

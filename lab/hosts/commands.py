"""Runs the machine's own tools (ip, iptables, mount, ssh-keygen) and says what they said when they fail."""

from __future__ import annotations

import subprocess
from typing import Final

_TIMEOUT_SECONDS: Final = 60.0


class CommandError(RuntimeError):
    """A tool ended with an error; the message holds its command and its last words."""


def run(*command: str, timeout_seconds: float = _TIMEOUT_SECONDS) -> str:
    """Standard output of a command that must succeed.

    Raises:
        CommandError: it ended with an error or took too long.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_seconds)
    except FileNotFoundError as error:
        raise CommandError(f"{command[0]} was not found; run: make prerequisites") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{' '.join(command)} took over {timeout_seconds:.0f} s") from error
    if done.returncode != 0:
        raise CommandError(
            f"{' '.join(command)} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-600:]}"
        )
    return done.stdout


def succeeds(*command: str) -> bool:
    """Whether a command ends well."""
    try:
        run(*command)
    except CommandError:
        return False
    return True

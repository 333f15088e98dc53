"""The type of every operation: a generator of commands, judged by pyinfra before and during a run."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias

from pyinfra.api.command import PyinfraCommand

Commands: TypeAlias = Generator[PyinfraCommand, None, None]

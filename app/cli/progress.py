"""What an operator sees while a command waits: one moving line on stderr with the time that passed, on a terminal only.

Nothing of it reaches stdout, a file or a pipe, so that output stays what programs read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from app.cli.output import err

_LONGEST_TEXT = 100


@contextmanager
def working(text: str, console: Console | None = None) -> Iterator[Callable[[str], None]]:
    """Show that something is waited for until the block ends; gives what changes the text."""
    shown = console or err()
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    progress = Progress(
        *columns, console=shown, transient=True, redirect_stdout=False, redirect_stderr=False,
        disable=not shown.is_terminal,
    )  # fmt: skip
    with progress:
        task = progress.add_task(text[:_LONGEST_TEXT])

        def change(words: str) -> None:
            progress.update(task, description=words[:_LONGEST_TEXT])

        yield change

"""The command `headframe`. One function a command; each prints, returns an exit status, and decides nothing itself."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console

from infra.cli.backup.command import backup
from infra.cli.engine import Engine, EngineError
from infra.cli.init.command import init
from infra.cli.machine_commands import register
from infra.cli.recover import StillRunningError
from infra.cli.recover import recover as recover_stack
from infra.cli.stack_commands import register as register_stack_commands

app = App(name="headframe", help="Operate a fleet of GPU miners.")
Stack = Annotated[str | None, Parameter(name=["--stack", "-s"], help="Stack; default: the selected one.")]


@app.command
def recover(*, stack: Stack = None) -> int:
    """After a killed `pulumi up`: free its lock, settle what it left half done."""
    console = Console()
    try:
        done = recover_stack(Engine(stack=stack)).done
    except (StillRunningError, EngineError) as error:
        print(error, file=sys.stderr)
        return 1
    for line in done:
        console.print(line, highlight=False)
    console.print("The stack is ready: run `pulumi up`." if done else "Nothing to recover: the stack is ready.")
    return 0


app.command(init)
app.command(backup)
register(app)
register_stack_commands(app)


def main() -> None:
    """Entry point."""
    sys.exit(app())

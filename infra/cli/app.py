"""The command `headframe`. One function a command; each prints, returns an exit status, and decides nothing itself."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console

from app.cli.access import CommandError
from app.cli.main import INTERRUPTED_EXIT, USAGE_EXIT
from app.cli.main import app as miner
from infra.cli.backup.command import backup
from infra.cli.engine import Engine, EngineError
from infra.cli.init.command import init
from infra.cli.machine_commands import register
from infra.cli.recover import StillRunningError
from infra.cli.recover import recover as recover_stack
from infra.cli.stack_commands import register as register_stack_commands
from infra.cli.stack_file import StackFileError

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
# Named, not imported: the simulator's libraries take a second that no other command should wait for.
app.command("app.gepetto.cli:app", name="gepetto", help="Look into Gepetto's decisions, try strategies and files.")
app.command("app.gepetto.cli:simulate", name="simulate", help="Try strategies on simulated fleets.")
app.command(miner, name="*")  # what concerns running chutes goes through the miner API


def run(tokens: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 2 not understood, 130 interrupted."""
    try:
        status = app(tokens, exit_on_error=False, result_action="return_value")
    except CycloptsError:
        return USAGE_EXIT
    except CommandError as error:
        print(error, file=sys.stderr)
        return error.code
    except (EngineError, StackFileError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT
    return status if isinstance(status, int) else 0


def main() -> None:
    """Entry point."""
    sys.exit(run())

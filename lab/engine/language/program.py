"""Child of the language host: runs one Pulumi program: program.py ENGINE_ADDRESS, the engine's RunRequest on stdin.

On stdin, because configuration holds secrets, and arguments and environment can be read by others. Runs as a script in
the program's own Python, so it imports nothing of ours.
"""

from __future__ import annotations

import asyncio
import logging
import runpy
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pulumi
from pulumi import runtime
from pulumi.runtime.proto.language_pb2 import RunRequest

#: The engine shows nothing more for this status: the program has said what is wrong.
EXIT_ERROR_ALREADY_SHOWN: Final = 32
_WORKERS_PER_RESOURCE: Final = 4


def configure(request: RunRequest, engine: str) -> None:
    """Tell the SDK who it talks to and what the stack's configuration is.

    Its debug messages are not sent: three for each resource, each of which the program waits for, and the engine drops
    them unless it runs with `--debug` (ADR 20).
    """
    pulumi.log.debug = _say_nothing
    runtime.set_all_config(dict(request.config), list(request.configSecretKeys))
    runtime.configure(
        runtime.Settings(
            monitor=request.monitor_address,
            engine=engine,
            project=request.project,
            stack=request.stack,
            organization=request.organization,
            root_directory=request.info.root_directory,
            dry_run=request.dryRun,
            parallel=request.parallel,
        )
    )


def _say_nothing(
    msg: str, resource: pulumi.Resource | None = None, stream_id: int | None = None, ephemeral: bool | None = None
) -> None:
    """In the place of `pulumi.log.debug`."""


def _execute(program: Path) -> None:
    runpy.run_path(str(program), run_name="__main__")


def run(program: Path, root: Path, parallel: int) -> int:
    """Run the program to the end of all its resources; its exit status."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    # An unfinished graph leaves unobserved futures behind; the real error is already shown.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        # Each waiting resource blocks a worker; too few of them stop the whole program.
        with ThreadPoolExecutor(max(parallel, 1) * _WORKERS_PER_RESOURCE) as workers:
            loop.set_default_executor(workers)
            loop.run_until_complete(runtime.run_in_stack(lambda: _execute(program)))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return EXIT_ERROR_ALREADY_SHOWN
    except Exception as error:  # noqa: BLE001 - a program may raise anything, and all of it is for its author
        pulumi.log.error("Program failed with an unhandled exception:\n" + user_traceback(error, root))
        return EXIT_ERROR_ALREADY_SHOWN
    finally:
        loop.close()
    return 0


def user_traceback(error: BaseException, root: Path) -> str:
    """The formatted traceback of `error` without the frames that lead to the program's first own frame.

    Args:
        error: with its causes.
        root: the project's folder; installed packages below it do not count as the user's own.
    """
    formatted = traceback.TracebackException.from_exception(error)
    pending: list[traceback.TracebackException | None] = [formatted]
    seen: set[int] = set()
    while pending:
        current = pending.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        current.stack = traceback.StackSummary.from_list(_cut(list(current.stack), root))
        pending += [current.__cause__, current.__context__]
    return "".join(formatted.format())


def _cut(frames: list[traceback.FrameSummary], root: Path) -> list[traceback.FrameSummary]:
    own = next((index for index, frame in enumerate(frames) if _is_own(Path(frame.filename), root)), None)
    return frames if own is None else frames[own:]


def _is_own(file: Path, root: Path) -> bool:
    if file.name.startswith("<"):  # frames of frozen modules have no file
        return False
    try:
        inside = file.resolve().relative_to(root.resolve())
    except ValueError:
        return False
    machinery = Path(__file__).parent
    return "site-packages" not in inside.parts and machinery not in file.resolve().parents


def main() -> int:
    request = RunRequest.FromString(sys.stdin.buffer.read())
    configure(request, engine=sys.argv[1])
    program = Path(request.info.program_directory, request.info.entry_point or ".").resolve()
    sys.argv = [str(program), *request.args]
    return run(program, Path(request.info.root_directory), request.parallel)


if __name__ == "__main__":
    sys.exit(main())

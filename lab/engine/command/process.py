"""Runs one command and hands its lines on as they come. Ends the command's whole group when it is given up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_SHELL: Final = ("/bin/sh", "-c")
_STDERR: Final = "stderr"
_STDOUT: Final = "stdout"
#: `logging` of a command -> streams whose lines show up in the log. Any other value shows none.
_LOGGED: Final = {
    "": (_STDOUT, _STDERR),
    "stdoutAndStderr": (_STDOUT, _STDERR),
    _STDOUT: (_STDOUT,),
    _STDERR: (_STDERR,),
}
_KILL_SECONDS: Final = 2.0

Log = Callable[[str], Awaitable[None]]


class CommandFailedError(Exception):
    """A command could not be started or ended badly; the message quotes it and its output."""


@dataclass(frozen=True)
class Outputs:
    """What a command wrote, each without its last newline."""

    stdout: str = ""
    stderr: str = ""


@dataclass(frozen=True)
class Command:
    """One command to run.

    Args:
        text: what the interpreter is given as its last argument.
        shown: what messages quote instead of `text`, where that is secret.
        interpreter: program and options; the shell where empty.
        environment: added to this process's own.
        folder: working directory; this process's own where empty.
        stdin: what the command can read.
        logging: name of the streams to log.
    """

    text: str
    shown: str
    interpreter: Sequence[str] = ()
    environment: Mapping[str, str] | None = None
    folder: str = ""
    stdin: str = ""
    logging: str = ""


async def run(command: Command, log: Log) -> Outputs:
    """Run a command to its end.

    Raises:
        CommandFailedError: it could not be started, or its exit status is not 0.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *(command.interpreter or _SHELL),
            command.text,
            cwd=command.folder or None,
            env={**os.environ, **(command.environment or {})},
            stdin=PIPE if command.stdin else DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            process_group=0,
        )
    except OSError as error:
        raise CommandFailedError(
            f'{error.strerror or error}: {error.filename}: running "{command.shown}":\n'
        ) from error
    try:
        outputs, both = await _streams(process, command, log)
        status = await process.wait()
    finally:
        await _end(process)
    if status:
        reason = f"exit status {status}" if status > 0 else f"signal {signal.Signals(-status).name}"
        raise CommandFailedError(f'{reason}: running "{command.shown}":\n{both}')
    return outputs


async def _streams(process: Process, command: Command, log: Log) -> tuple[Outputs, str]:
    """The streams on their own, and both together in the order in which they came."""
    logged = _LOGGED.get(command.logging, ())
    parts: dict[str, list[str]] = {_STDOUT: [], _STDERR: []}
    both: list[str] = []

    async def pump(name: str, reader: asyncio.StreamReader | None) -> None:
        rest = b""
        while reader is not None and (data := await reader.read(65536)):
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                await take(name, line.decode(errors="replace"), "\n")
        if rest:
            await take(name, rest.decode(errors="replace"), "")

    async def take(name: str, line: str, end: str) -> None:
        parts[name].append(line + end)
        both.append(line + end)
        if name in logged:
            await log(line)

    async def feed() -> None:
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it need not read all
                process.stdin.write(command.stdin.encode())
                await process.stdin.drain()
            process.stdin.close()

    async with asyncio.TaskGroup() as group:
        group.create_task(feed())
        group.create_task(pump(_STDOUT, process.stdout))
        group.create_task(pump(_STDERR, process.stderr))
    stdout, stderr = ("".join(parts[name]).removesuffix("\n") for name in (_STDOUT, _STDERR))
    return Outputs(stdout, stderr), "".join(both)


async def _end(process: Process) -> None:
    """End what still runs: the call was cancelled, or a stream could not be read."""
    if process.returncode is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_KILL_SECONDS):
                await process.wait()
                return

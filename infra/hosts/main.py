"""Command line of the runner: reads the spec, runs the verb, turns failures into events and exit codes."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType
from typing import Final

import gevent
from gevent.select import select
from pydantic import ValidationError

from infra.hosts.emitter import Emitter
from infra.hosts.failures import CannotConnectError, OperationFailedError, RunnerError
from infra.hosts.runner import run
from infra.spec import ErrorEvent, ErrorKind, ExitCode, HostSpec, Verb

_KINDS: Final[dict[type[RunnerError], tuple[ErrorKind, ExitCode]]] = {
    CannotConnectError: (ErrorKind.CANNOT_CONNECT, ExitCode.CANNOT_CONNECT),
    OperationFailedError: (ErrorKind.OPERATION_FAILED, ExitCode.OPERATION_FAILED),
}
_OUTPUT_LIMIT: Final = 4000


def main(arguments: Sequence[str]) -> ExitCode:
    """Run one verb on one machine. Standard output carries events alone; stray prints go to standard error."""
    parser = argparse.ArgumentParser(prog="python -m infra.hosts", description=__doc__)
    parser.add_argument("verb", choices=[verb.value for verb in Verb])
    parser.add_argument("--attached", action="store_true", help="end when standard input is closed")
    parsed = parser.parse_args(arguments)
    emitter = Emitter.on_stdout()
    _report_bugs_as_events(emitter)
    try:
        spec = HostSpec.from_json(sys.stdin.readline())
    except ValidationError as error:
        emitter.emit(ErrorEvent(kind=ErrorKind.SPEC_REJECTED, message=_rejection(error)))
        return ExitCode.SPEC_REJECTED
    if parsed.attached:
        gevent.spawn(_end_with_parent)
    try:
        run(Verb(parsed.verb), spec, emitter)
    except RunnerError as error:
        kind, code = _KINDS[type(error)]
        emitter.emit(
            ErrorEvent(
                kind=kind, message=error.message, operation=error.operation, output=error.output[-_OUTPUT_LIMIT:]
            )
        )
        return code
    return ExitCode.DONE


def _end_with_parent() -> None:
    """The parent keeps our standard input open; when it is gone, nobody waits for us and we must not act on."""
    select([sys.stdin.fileno()], [], [])
    os._exit(ExitCode.BUG)


def _rejection(error: ValidationError) -> str:
    problems = [f"{'.'.join(map(str, item['loc'])) or 'spec'}: {item['msg']}" for item in error.errors()]
    return "; ".join(problems)


def _report_bugs_as_events(emitter: Emitter) -> None:
    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        frames = "".join(traceback.format_exception(kind, error, trace))
        message = f"bug in the host runner: {kind.__name__}: {error}"
        emitter.emit(ErrorEvent(kind=ErrorKind.BUG, message=message, output=frames[-_OUTPUT_LIMIT:]))
        os._exit(ExitCode.BUG)  # sys.excepthook cannot change the exit status otherwise

    sys.excepthook = report

"""One run of the host runner on behalf of a resource: collects its events, passes progress on, names its failure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from infra.provider.children import Children, Ended
from infra.provider.log import ResourceLog
from infra.spec import (
    Connected,
    ErrorEvent,
    ErrorKind,
    Event,
    ExitCode,
    FactsEvent,
    HostFacts,
    HostSpec,
    LogEvent,
    LogLevel,
    OperationEvent,
    OperationState,
    Plan,
    PlanEvent,
    ResultEvent,
    Verb,
)

_OUTPUT_LINES_SHOWN: Final = 15


@dataclass
class HostRun:
    """What a run said so far, and how it ended."""

    log: ResourceLog
    quiet: bool = False
    connected: bool = False
    facts: HostFacts | None = None
    plan: Plan | None = None
    result: ResultEvent | None = None
    error: ErrorEvent | None = None
    current: str | None = None
    done: set[str] = field(default_factory=set)

    async def take(self, event: Event) -> None:
        """Take one event; show progress."""
        match event:
            case Connected():
                self.connected = True
            case FactsEvent(facts=facts):
                self.facts = facts
            case PlanEvent(plan=plan):
                self.plan = plan
            case OperationEvent():
                await self._operation(event)
            case LogEvent(level=level, message=message):
                if not self.quiet:
                    await self._say(level, message)
            case ResultEvent():
                self.result = event
            case ErrorEvent():
                self.error = event

    async def _say(self, level: LogLevel, message: str) -> None:
        speak = {LogLevel.INFO: self.log.info, LogLevel.WARNING: self.log.warning, LogLevel.ERROR: self.log.error}
        await speak.get(level, self.log.debug)(message)

    async def _operation(self, event: OperationEvent) -> None:
        if event.state is OperationState.STARTED:
            self.current = event.name
            await self.log.progress(f"[{event.number}/{event.total}] {event.name}")
        elif event.state is not OperationState.FAILED:
            self.done.add(event.name)

    @property
    def unfinished(self) -> tuple[str, ...]:
        """Planned changes that did not happen: what the machine still lacks."""
        planned: Iterable[str] = self.plan.changes if self.plan else ()
        return tuple(name for name in planned if name not in self.done)

    @property
    def began_to_change(self) -> bool:
        return self.current is not None

    @property
    def is_unreachable(self) -> bool:
        return self.error is not None and self.error.kind is ErrorKind.CANNOT_CONNECT


async def run_host(
    children: Children, log: ResourceLog, verb: Verb, spec: HostSpec, timeout_seconds: float, *, quiet: bool = False
) -> HostRun:
    """Run a verb to its end, whatever end that is; `error` is set on every end but a good one.

    Args:
        quiet: keep what the runner remarks about the machine to itself; a refresh would repeat it in every preview.
    """
    run = HostRun(log, quiet)
    try:
        ended = await children.run(verb, spec, run.take, timeout_seconds)
    except TimeoutError:
        where = f" in `{run.current}`" if run.current else ""
        run.error = ErrorEvent(
            kind=ErrorKind.OPERATION_FAILED,
            operation=run.current,
            message=f"stopped after {timeout_seconds:.0f} s{where}: look at the machine, or raise the timeout",
        )
        return run
    if run.error is None and (ended.status != ExitCode.DONE or run.result is None):
        run.error = _silent_end(run, ended)
    if run.error is not None and run.error.output:
        lines = run.error.output.strip().splitlines()[-_OUTPUT_LINES_SHOWN:]
        await log.error("\n".join(lines))
    return run


def _silent_end(run: HostRun, ended: Ended) -> ErrorEvent:
    """The runner ended without a last word: it was killed, or Python itself failed."""
    how = f"by signal {-ended.status}" if ended.status < 0 else f"with status {ended.status}"
    where = f" in `{run.current}`" if run.current else ""
    return ErrorEvent(
        kind=ErrorKind.BUG,
        operation=run.current,
        message=f"the host runner ended {how}{where}; the next `pulumi up` goes on from here",
        output=ended.stderr,
    )

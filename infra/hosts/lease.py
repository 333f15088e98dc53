"""Takes, keeps and gives back the fleet's lease: one line in a file on the control host, changed under a file lock.

A holder that vanishes, or fails, leaves the lease frozen: nobody else is disrupted until an operator has looked.
The machine that froze it may take it again, which is how a roll-out resumes.
"""

from __future__ import annotations

import shlex
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import gevent
import paramiko
from pyinfra.api import Config, Inventory, State, StringCommand
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.host import Host

from infra.hosts.failures import OperationFailedError
from infra.hosts.machine_lock import is_connected
from infra.hosts.paths import STATE
from infra.hosts.ssh import connector_data, known_hosts, private_keys
from infra.spec import HostSpec

FILE: Final = f"{STATE}/lease"
OPERATION: Final = "lease"
_LIFETIME_SECONDS: Final = 90
_RENEW_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 2.0


class Answer(StrEnum):
    """What the keeper says to a request."""

    TAKEN = "taken"
    HELD = "held"
    FROZEN = "frozen"


@dataclass(frozen=True)
class Reply:
    """The answer, and for a lease that is not ours: whose it is and why."""

    answer: Answer
    holder: str = ""
    reason: str = ""


class Lease:
    """The lease as one run sees it. `run_command` runs a shell command on the control host and returns its output.

    Raises (from `run_command`): OperationFailedError where the control host does not answer.
    """

    def __init__(self, node: str, run_command: Callable[[str], str]) -> None:
        self.node = node
        self._run = uuid.uuid4().hex[:8]
        self._run_command = run_command

    def take(self) -> Reply:
        """Take the lease if it is free, or ours and no longer kept."""
        lines = self._run_command(take_script(self.node, self._run)).splitlines()
        words = lines[-1].split(" ", 2) if lines else [""]
        return Reply(Answer(words[0]), *words[1:])

    def renew(self) -> None:
        self._run_command(write_script("held", self.node, self._run, ""))

    def freeze(self, reason: str) -> None:
        self._run_command(write_script("frozen", self.node, self._run, reason))

    def release(self) -> None:
        self._run_command(write_script("free", self.node, self._run, ""))

    def wait(self, limit_seconds: float, say: Callable[[str], None], sleep: Callable[[float], None]) -> None:
        """Wait for our turn.

        Raises:
            OperationFailedError: the lease is frozen, or our turn did not come in time.
        """
        said, waited = "", 0.0
        while (reply := self.take()).answer is Answer.HELD and waited < limit_seconds:
            if reply.holder != said:
                said = reply.holder
                say(f"waits for its turn: {reply.holder} is being changed")
            sleep(_POLL_SECONDS)
            waited += _POLL_SECONDS
        if reply.answer is Answer.FROZEN:
            raise OperationFailedError(
                f"the roll-out is stopped: {reply.holder} {reply.reason}; repair it, or `headframe free-lease`",
                operation=OPERATION,
            )
        if reply.answer is Answer.HELD:
            raise OperationFailedError(
                f"no turn within {limit_seconds:.0f} s: {reply.holder} is still being changed", operation=OPERATION
            )


def take_script(node: str, run: str) -> str:
    """Shell: prints `taken`, `held HOLDER` or `frozen HOLDER REASON`. The line is `STATE NODE RUN DEADLINE REASON`."""
    return _locked(f"""\
state=free; holder=; run=; deadline=0; reason=
[ ! -s {FILE} ] || read -r state holder run deadline reason < {FILE}
now=$(date +%s)
if [ "$state" = held ] && [ "$now" -ge "$deadline" ]; then state=frozen; reason="vanished while being changed"; fi
if [ "$state" = held ] && [ "$run" != {run} ]; then echo "held $holder"
elif [ "$state" = frozen ] && [ "$holder" != {node} ]; then echo "frozen $holder $reason"
else echo "held {node} {run} $((now + {_LIFETIME_SECONDS})) -" > {FILE}.new && mv {FILE}.new {FILE} && echo taken
fi""")


def write_script(state: str, node: str, run: str, reason: str) -> str:
    """Shell: writes the state if the lease is still this run's."""
    words = " ".join(reason.split())[:200]
    return _locked(f"""\
read -r was holder run deadline rest < {FILE} || exit 0
[ "$run" = {run} ] || {{ echo "the lease is no longer ours: $was $holder" >&2; exit 1; }}
printf '%s %s %s %s %s\\n' {state} {node} {run} $(( $(date +%s) + {_LIFETIME_SECONDS} )) {shlex.quote(words or "-")} \
> {FILE}.new && mv {FILE}.new {FILE}""")


def clear_script() -> str:
    """Shell: prints what the lease was and frees it; for an operator who has looked."""
    return _locked(f"[ ! -s {FILE} ] || cat {FILE}; rm -f {FILE}")


def _locked(script: str) -> str:
    return f"mkdir -p {STATE} && flock {FILE}.lock sh -c {shlex.quote(script)}"


@contextmanager
def keeper(spec: HostSpec) -> Iterator[Callable[[str], str]]:
    """A connection to the control host that runs commands as root.

    Raises:
        OperationFailedError: it does not take us, or a command fails.
    """
    if spec.lease is None:
        raise ValueError(f"{spec.name} has no lease")
    at = spec.model_copy(update=spec.lease.model_dump(include={"host", "port", "user", "host_key"}))
    with known_hosts(at) as file:
        state = State(
            Inventory(([("keeper", connector_data(at, file))], {})),
            Config(CONNECT_TIMEOUT=spec.connect_timeout_seconds, SUDO=at.user != "root"),
        )
        state.private_keys.update(private_keys(at))
        host: Host = next(iter(state.inventory))

        def run_command(command: str) -> str:
            try:
                if not host.connected:
                    host.connect(show_errors=False, raise_exceptions=True)
                status, output = host.run_shell_command(
                    StringCommand(command), print_output=False, print_input=False, _sudo=at.user != "root"
                )
            except (ConnectError, paramiko.SSHException, OSError, EOFError) as error:
                host.connected = False
                raise OperationFailedError(f"the lease's keeper {at.host}: {error}", operation=OPERATION) from error
            if not status:
                host.connected = is_connected(host)  # a command that the connection's end cut off fails too
                raise OperationFailedError(f"the lease's keeper {at.host}: {output.stderr}", operation=OPERATION)
            return output.stdout

        yield run_command


@contextmanager
def held(lease: Lease) -> Iterator[None]:
    """Keep the lease alive; give it back at a good end, freeze it at any other.

    A keeper that does not answer then hides no failure: the lease freezes by itself once nobody renews it.
    """
    renewing = gevent.spawn(_renew_for_ever, lease)
    try:
        yield
    except BaseException as error:
        renewing.kill()
        with suppress(OperationFailedError):
            lease.freeze(f"failed: {error}")
        raise
    renewing.kill()
    _until_it_answers(lease.release)


def _renew_for_ever(lease: Lease) -> None:
    while True:
        gevent.sleep(_RENEW_SECONDS)
        try:
            lease.renew()
        except OperationFailedError:
            continue  # the keeper may be the very machine that reboots


def _until_it_answers(act: Callable[[], None]) -> None:
    """The keeper may just have come back from its own reboot."""
    deadline = time.monotonic() + _LIFETIME_SECONDS
    while True:
        try:
            return act()
        except OperationFailedError:
            if time.monotonic() > deadline:
                raise
            gevent.sleep(_POLL_SECONDS)

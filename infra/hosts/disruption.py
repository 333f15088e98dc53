"""What surrounds a disruptive act: our turn, a drained node before, a Ready and open node after (D16)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import gevent
from pyinfra.api import StringCommand
from pyinfra.api.host import Host

from app.protocol.labels import CHUTE, CHUTES_NAMESPACE, DRAINING
from infra.hosts.emitter import Emitter
from infra.hosts.failures import OperationFailedError
from infra.hosts.lease import Lease, held, keeper
from infra.hosts.operations.k3s import KUBECTL, fetch_script, is_ready
from infra.spec import HostFacts, HostSpec, LogLevel, TurnEvent

_READY_SECONDS = 300
_ANSWER_TRIES = 5


def is_disruptive(operation: str) -> bool:
    """Whether an operation of this name ends or pauses what runs on a node."""
    return operation == "k3s | service runs with these settings" or operation.startswith(("nvidia | driver ", "act | "))


def _exchanges_the_binary(operation: str) -> bool:
    return operation.startswith("k3s | binary ")


@contextmanager
def guarded(spec: HostSpec, facts: HostFacts, host: Host, changes: Sequence[str], emitter: Emitter) -> Iterator[None]:
    """Surround a run with lease, drain and return where one of its changes is disruptive and a cluster runs.

    Raises:
        OperationFailedError: no k3s of the wanted version, no turn, or the node could not be drained; nothing was
            disrupted then.
    """
    if spec.lease is None or facts.k3s_version is None or not any(map(is_disruptive, changes)):
        yield
        return

    def say(message: str) -> None:
        emitter.log(LogLevel.INFO, f"{spec.name} {message}")

    if spec.k3s is not None and any(map(_exchanges_the_binary, changes)):
        say("fetches its k3s before anything is disrupted")
        run(host, fetch_script(spec.k3s.source, spec.k3s.version), "k3s | binary")
    with keeper(spec) as run_command:
        lease = Lease(spec.name, run_command)
        emitter.emit(TurnEvent(waits_seconds=spec.lease.wait_seconds))
        lease.wait(spec.lease.wait_seconds, say, gevent.sleep)
        with held(lease):
            say("has the lease; drains")
            emitter.emit(TurnEvent(waits_seconds=spec.lease.drain_seconds))
            script = drain_script(spec.name, spec.lease.drain_seconds)
            for line in run(host, f"{if_the_cluster_answers()}\n{script}", "drain").splitlines():
                say(line)
            yield
            run(host, return_script(spec.name), "return")
            say("is Ready and open again; gives the lease back")


def run(host: Host, script: str, operation: str) -> str:
    """Run a script on the machine; what it printed.

    Raises:
        OperationFailedError: it failed.
    """
    status, output = host.run_shell_command(StringCommand(script), print_output=False, print_input=False)
    if not status:
        raise OperationFailedError(f"{operation}: {output.stderr}", operation=operation, output=output.stdout)
    return output.stdout


def drain_script(node: str, patience_seconds: int) -> str:
    """Shell: no new pods; Gepetto is told by an annotation to end the copies, its validators first; what is left after
    the patience (jobs that did not finish, or everything where no Gepetto runs) is ended by deletion. Nothing else on
    the node is touched. A list that could not be read is no empty one; what is still starting counts.
    """
    unfinished = "status.phase!=Succeeded,status.phase!=Failed"
    chutes = f"{KUBECTL} -n {CHUTES_NAMESPACE} get pods -l {CHUTE}=true --field-selector={unfinished} -o name"
    return f"""\
{KUBECTL} cordon {node} >/dev/null && {KUBECTL} annotate node {node} --overwrite {DRAINING}=true >/dev/null || \
{{ echo "{node} is not drained: its cluster does not answer" >&2; exit 1; }}
for i in $(seq {patience_seconds}); do seen=$({chutes} 2>/dev/null) && [ -z "$seen" ] && exit 0; sleep 1; done
{KUBECTL} -n {CHUTES_NAMESPACE} delete pods -l {CHUTE}=true --wait=true --timeout=180s >/dev/null"""


def if_the_cluster_answers() -> str:
    """Shell: ends well, and says so, where the cluster goes on not answering: a restart may be what repairs it."""
    return f"""\
for i in $(seq {_ANSWER_TRIES}); do
  {KUBECTL} get --raw /readyz --request-timeout=5s >/dev/null 2>&1 && break
  [ "$i" -lt {_ANSWER_TRIES} ] || {{ echo "its cluster does not answer: not drained"; exit 0; }}; sleep 2
done"""


def return_script(node: str) -> str:
    """Shell: waits until the node is Ready, then lets pods in again."""
    return f"""\
for i in $(seq {_READY_SECONDS}); do if {is_ready(node)}; then \
{KUBECTL} annotate node {node} {DRAINING}- >/dev/null && {KUBECTL} uncordon {node} >/dev/null; exit $?; fi; \
sleep 1; done
echo "{node} is not Ready after {_READY_SECONDS} s; it stays closed for new pods" >&2; exit 1"""

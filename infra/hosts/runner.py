"""One run: connect, observe, forecast, and where asked, do it. One machine a process, one pyinfra State a machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import paramiko
from pydantic import SecretStr
from pyinfra.api import Config, Inventory, State, StringCommand
from pyinfra.api.connect import disconnect_all
from pyinfra.api.exceptions import ConnectError, PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.operations import run_ops
from pyinfra.api.state import StateStage
from pyinfra.context import ctx_host, ctx_state

from infra.hosts.deploys import declare, notes
from infra.hosts.disruption import guarded
from infra.hosts.emitter import Emitter
from infra.hosts.facts.kubeconfig import read_kubeconfig
from infra.hosts.facts.machine import read_facts
from infra.hosts.failures import CannotConnectError, OperationFailedError
from infra.hosts.forecast import failed_operation, names_of_changes, plan_of
from infra.hosts.machine_lock import alone_on, is_connected
from infra.hosts.preflight import objections
from infra.hosts.progress import Progress
from infra.hosts.ssh import connector_data, known_hosts, private_keys
from infra.spec import Connected, FactsEvent, Hello, HostFacts, HostSpec, LogLevel, PlanEvent, ResultEvent, Verb

_LOOKING: Final = frozenset({Verb.PLAN, Verb.FACTS})
_WITH_CLUSTER: Final = frozenset({Verb.PLAN, Verb.APPLY})


def run(verb: Verb, spec: HostSpec, emitter: Emitter) -> None:
    """Run the verb over SSH and say what happens.

    Raises:
        CannotConnectError: no session; nothing was changed.
        OperationFailedError: the machine refused an operation; what was done before it stands.
    """
    with known_hosts(spec) as file:
        inventory = Inventory(([(spec.name, connector_data(spec, file))], {}))
        state = State(inventory, _config(spec))
        state.private_keys.update(private_keys(spec))
        run_on(state, verb, spec, emitter)


def run_on(state: State, verb: Verb, spec: HostSpec, emitter: Emitter) -> None:
    """As `run`, on a State whose inventory holds exactly one host; tests pass one of pyinfra's fake hosts."""
    began = time.monotonic()
    host = next(iter(state.inventory))
    emitter.emit(Hello(verb=verb, host=spec.name))
    with _connected(state, host, spec):
        emitter.emit(Connected(seconds=round(time.monotonic() - began, 3)))
        _must_become_root(host, spec)
        with _operation_errors(state, host), ctx_state.use(state), ctx_host.use(host):
            facts = read_facts(host, spec)
        emitter.emit(FactsEvent(facts=facts))
        changed: tuple[str, ...] = ()
        if verb is Verb.PLAN:
            changed = _converge(state, host, verb, spec, facts, emitter)
        elif verb is not Verb.FACTS:
            with alone_on(host, spec):  # before the plan is made: what another run does must be in it
                changed = _converge(state, host, verb, spec, facts, emitter)
        with ctx_state.use(state), ctx_host.use(host):
            kubeconfig = read_kubeconfig(host, spec) if verb in _WITH_CLUSTER else None
    seconds = round(time.monotonic() - began, 3)
    secret = SecretStr(kubeconfig) if kubeconfig else None
    emitter.emit(ResultEvent(changed=changed, kubeconfig=secret, seconds=seconds))


def _config(spec: HostSpec) -> Config:
    return Config(CONNECT_TIMEOUT=spec.connect_timeout_seconds, SUDO=spec.user != "root", PARALLEL=1)


def _must_become_root(host: Host, spec: HostSpec) -> None:
    """Asked before anything else: pyinfra would answer a password prompt by asking on the terminal, and wait."""
    if spec.user == "root":
        return
    _, output = host.run_shell_command(StringCommand("sudo -n true 2>/dev/null && echo yes"), _sudo=False)
    if output.stdout_lines[-1:] != ["yes"]:
        raise OperationFailedError(
            f"{spec.user} on {spec.name} has no sudo without password: "
            f"write `{spec.user} ALL=(ALL) NOPASSWD:ALL` to /etc/sudoers.d/{spec.user} on it",
            operation="preflight",
        )


@contextmanager
def _connected(state: State, host: Host, spec: HostSpec) -> Iterator[None]:
    state.set_stage(StateStage.Connect)
    try:
        host.connect(show_errors=False, raise_exceptions=True)
    except ConnectError as error:
        raise CannotConnectError(
            f"{spec.name} does not take SSH: {error}; `ssh -p {spec.port} {spec.user}@{spec.host}` from here shows why"
        ) from None
    state.activate_host(host)
    yield
    state.set_stage(StateStage.Disconnect)
    disconnect_all(state)


def _converge(
    state: State, host: Host, verb: Verb, spec: HostSpec, facts: HostFacts, emitter: Emitter
) -> tuple[str, ...]:
    """Forecast, and for a changing verb execute. Returns the names of the operations that changed something."""
    # A plan shows what stands against the apply; everything else stops here.
    reasons = objections(Verb.APPLY if verb is Verb.PLAN else verb, spec, facts)
    if verb is not Verb.PLAN and reasons:
        raise OperationFailedError("; ".join(reasons), operation="preflight")
    state.set_stage(StateStage.Prepare)
    with _operation_errors(state, host), ctx_state.use(state), ctx_host.use(host):
        declare(verb, spec, facts)
    plan = plan_of(state, host, reasons)
    emitter.emit(PlanEvent(plan=plan))
    for note in notes(spec, facts) if verb in _WITH_CLUSTER else ():
        emitter.log(LogLevel.INFO, note)
    if verb in _LOOKING:
        return ()
    state.add_callback_handler(Progress(emitter, host, total=len(state.get_op_order())))
    state.set_stage(StateStage.Execute)
    changes = plan.changes if verb in {Verb.APPLY, Verb.RESTART, Verb.REBOOT} else ()
    with guarded(spec, facts, host, changes, emitter), _operation_errors(state, host):
        run_ops(state)
    return names_of_changes(state, host)


@contextmanager
def _operation_errors(state: State, host: Host) -> Iterator[None]:
    """pyinfra says "No hosts remaining!" for every failure; find out which operation it was and what it printed."""
    try:
        yield
    except (PyinfraError, paramiko.SSHException, EOFError, OSError) as error:
        name, output = failed_operation(state, host)
        # A write meets the end of the connection before the thread that reads does, and raises EOFError.
        if isinstance(error, EOFError) or not is_connected(host):
            where = f" in `{name}`" if name else ""
            raise OperationFailedError(
                f"the connection was lost{where}: the machine rebooted, or its network failed. What was done stands; "
                "the next run goes on from there",
                operation=name,
                output=output,
            ) from error
        last = (output.strip().splitlines() or [str(error)])[-1]
        raise OperationFailedError(f"{name or 'reading facts'}: {last}", operation=name, output=output) from error

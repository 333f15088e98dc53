"""`headframe plan HOST`: what an update would do on one machine, operation by operation. Looks; changes nothing.

The runner is asked directly: the engine cannot preview one machine of a stack whose other parts do not exist yet.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from pydantic import SecretStr

from infra.cli import stack_file
from infra.cli.engine import CLONE, Engine, EngineError
from infra.cli.machines import machines_of
from infra.provider.children import Children
from infra.settings.hosts import control_host, gpu_host
from infra.settings.load import validate
from infra.settings.secrets import REGISTRY_PASSWORD, SSH_PRIVATE_KEY
from infra.settings.tree import BareGpuNode, FleetSettings
from infra.spec import (
    ErrorEvent,
    Event,
    HostDeclaration,
    HostSpec,
    ImageArchive,
    LogEvent,
    Plan,
    PlanEvent,
    RegistryCredential,
    Verb,
)

_LOOK_SECONDS: Final = 300.0


class NoPlanError(RuntimeError):
    """There is no plan; the text says why."""


def plan(
    host: str,
    *,
    json: bool = False,
    stack: Annotated[str | None, Parameter(name=["--stack", "-s"], help="Stack; default: the selected one.")] = None,
) -> int:
    """What an update would do on one machine, operation by operation."""
    engine = Engine(stack=stack)
    try:
        found, notes = asyncio.run(look(declared_spec(engine, host)))
    except (NoPlanError, EngineError, stack_file.StackFileError) as error:
        print(error, file=sys.stderr)
        return 1
    if json:
        print(found.model_dump_json(by_alias=True, indent=2))
        return 0
    _show(host, found, notes, print)
    return 0


def declared_spec(engine: Engine, name: str) -> HostSpec:
    """What the stack file says the machine shall be, with the images that it was last given.

    Raises:
        NoPlanError: the stack file has mistakes, or no such machine that can be entered.
    """
    path = stack_file.stack_file(CLONE, engine.stack_name(), engine.environment)
    settings = _settings(path)
    declared = machine_of(settings, name)
    login = settings.kubernetes.registry_login
    credentials: tuple[RegistryCredential, ...] = ()
    if login is not None:
        password = SecretStr(engine.quietly("config", "get", REGISTRY_PASSWORD).strip())
        credentials = (RegistryCredential(registry=login.registry, username=login.username, password=password),)
    return HostSpec(
        **declared.model_dump(),
        private_key=SecretStr(engine.quietly("config", "get", SSH_PRIVATE_KEY)),
        registry_credentials=credentials if declared.k3s else (),
        images=_last_images(engine, name),
    )


def machine_of(settings: FleetSettings, name: str) -> HostDeclaration:
    """The declaration of one machine.

    Raises:
        NoPlanError: there is none of this name, or it is never entered.
    """
    if name == settings.control.name:
        return control_host(settings)
    node = next((node for node in settings.gpu_nodes if node.name == name), None)
    if isinstance(node, BareGpuNode):
        return gpu_host(settings, node)
    if node is not None:
        raise NoPlanError(f"{name} is a confidential VM: it is never entered, so nothing is planned on it")
    known = ", ".join([settings.control.name, *sorted(other.name for other in settings.gpu_nodes)])
    raise NoPlanError(f"there is no machine {name} in the stack file; it has {known}")


async def look(spec: HostSpec) -> tuple[Plan, tuple[str, ...]]:
    """The plan, and what the runner remarks on the machine.

    Raises:
        NoPlanError: the machine cannot be read.
    """
    seen: list[Event] = []

    async def take(event: Event) -> None:
        seen.append(event)

    try:
        ended = await Children(at_once=1).run(Verb.PLAN, spec, take, _LOOK_SECONDS)
    except TimeoutError:
        raise NoPlanError(f"{spec.name} could not be read within {_LOOK_SECONDS:.0f} s") from None
    plans = [event.plan for event in seen if isinstance(event, PlanEvent)]
    if not plans or ended.status:
        reasons = [event.message for event in seen if isinstance(event, ErrorEvent)]
        raise NoPlanError((reasons or [ended.stderr[-500:]])[0])
    return plans[0], tuple(event.message for event in seen if isinstance(event, LogEvent))


def _settings(path: Path) -> FleetSettings:
    values = stack_file.settings_of(stack_file.read(path))
    if mistakes := validate(values):
        listed = "\n".join(f"  {mistake.path}: {mistake.wrong}" for mistake in mistakes)
        raise NoPlanError(f"{path.name} has mistakes; `headframe doctor` says how to mend them:\n{listed}")
    return FleetSettings.model_validate(values)


def _last_images(engine: Engine, name: str) -> tuple[ImageArchive, ...]:
    """None for a machine that was never set up: its images are built by the update."""
    return next((machine.images for machine in machines_of(engine) if machine.name == name), ())


def _show(host: str, found: Plan, notes: tuple[str, ...], say: Callable[[str], None]) -> None:
    for operation in found.operations:
        say(f"{'~' if operation.would_change else ' '} {operation.name}")
    for note in notes:
        say(f"note: {note}")
    for reason in found.refused_because:
        say(f"refused: {reason}")
    say(f"{host}: {len(found.changes)} of {len(found.operations)} operations would change something")

"""One launch, step by step, each in the journal first (spec: gepetto 14, 15.1, 24.10; rules 27.2, 27.3).

reserved -> permitted (token) -> service -> launched. A failure at any step leaves no row, no objects and free GPUs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import structlog

from app.gepetto.decision.intents import Launch, WarmUp
from app.gepetto.execution.launch_configs import SpareConfigs
from app.gepetto.execution.store import LONGEST_SECONDS, Store
from app.gepetto.kubernetes import manifests
from app.gepetto.kubernetes.plan import DeploymentPlan, JobPort, PodSettings, service_name
from app.gepetto.kubernetes.warm_up import warm_up_job
from app.gepetto.ports import ClustersPort, LaunchFailedError, LaunchRefusal, UnavailableError, ValidatorPort
from app.gepetto.world.views import NodeState
from app.protocol.instances import LaunchConfig
from app.storage.journal import JournalKind, JournalStep

log = structlog.get_logger(__name__)

#: Seconds for which a chute is left alone after a refusal, by HTTP status: the first time, and at most, after many in
#: a row. Capacity and lost races change within minutes; a ban or a too old chute does not (spec: gepetto 24.3).
REFUSAL_SECONDS: Final[Mapping[int, tuple[float, float]]] = {
    423: (60.0, 120.0),
    409: (30.0, 120.0),
    404: (300.0, 3600.0),
    400: (1800.0, LONGEST_SECONDS),
    403: (3600.0, LONGEST_SECONDS),
}
OTHER_REFUSAL_SECONDS: Final = (30.0, 600.0)
FAILURE_SECONDS: Final = 120.0
CLOSED: Final = "its node is closed for new pods"


class LaunchResult(StrEnum):
    LAUNCHED = "launched"
    GPUS_TAKEN = "gpus_taken"
    REFUSED = "refused"
    FAILED = "failed"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class LaunchOutcome:
    """How a launch ended. `status` is the validator's, for a refusal."""

    result: LaunchResult
    deployment_id: str
    detail: str = ""
    status: int | None = None


@dataclass(frozen=True, slots=True)
class LaunchOrder:
    """A launch with what the snapshot knows and the rows do not."""

    intent: Launch
    deployment_id: str
    gpu_ids: tuple[str, ...]
    vm_version: tuple[int, int, int] | None = None
    job_ports: tuple[JobPort, ...] = field(default_factory=tuple)


@dataclass(frozen=True)
class Launcher:
    """Carries out launches. Everything that matters is in the journal; launch configs to spare are in memory alone."""

    store: Store
    clusters: ClustersPort
    validators: Mapping[str, ValidatorPort]
    settings: PodSettings
    spares: SpareConfigs = field(default_factory=SpareConfigs)

    async def launch(self, order: LaunchOrder, config: LaunchConfig | None = None) -> LaunchOutcome:
        """Start one copy; `config` is a launch config that was asked for before (a swap's)."""
        with self.store.working.claim(order.deployment_id) as is_mine:
            if not is_mine:
                raise ValueError(f"deployment {order.deployment_id} is being worked on: launches need new ids")
            return await self._launch(order, config)

    async def _launch(self, order: LaunchOrder, config: LaunchConfig | None) -> LaunchOutcome:
        intent = order.intent
        facts = await self.store.reserve(
            order.deployment_id, intent.chute_id, intent.version, intent.server_id, order.gpu_ids, intent.job_id
        )
        if facts is None:
            if config is not None:
                self.spares.keep(intent, config)
            return LaunchOutcome(LaunchResult.GPUS_TAKEN, order.deployment_id, "a GPU was not free any more")
        return await self._permitted(order, facts, config)

    async def ask(self, intent: Launch, validator: str) -> LaunchConfig | LaunchRefusal:
        """Ask for a launch config once, or take one that an aborted swap had got; each counts at the validator.

        No answer is a refusal too, because a second request might be one too many.
        """
        port = self.validators.get(validator)
        if port is None:
            return LaunchRefusal(404, f"no validator {validator} is configured")
        spare = self.spares.take(intent)
        if spare is not None:
            return spare
        try:
            return await port.launch_config(intent.chute_id, intent.job_id)
        except UnavailableError as error:
            return LaunchRefusal(0, str(error))

    async def node_state(self, server_id: str, node: str) -> NodeState:
        """Whether the server's node takes new pods. One that cannot be asked shows so when its objects are made."""
        try:
            return await (await self.clusters.of(server_id)).node_state(node)
        except UnavailableError:
            return NodeState.OPEN

    async def remember_refusal(self, chute_id: str, answer: LaunchRefusal) -> None:
        """Leave a chute alone for as long as the kind of the refusal suggests."""
        first, longest = REFUSAL_SECONDS.get(answer.status, OTHER_REFUSAL_SECONDS)
        await self.store.remember_failure(chute_id, "*", f"refused: {answer.status}", first, longest)

    async def warm_up(self, intent: WarmUp) -> bool:
        """Pull a chute's image onto a server; what its model is nobody tells, so that only a launch fetches it."""
        facts = await self.store.plan_facts(intent.chute_id, intent.server_id)
        if facts is None:
            return False
        order = LaunchOrder(Launch(intent.chute_id, "", intent.server_id, 0), "", ())
        plan = plan_of(order, facts, LaunchConfig(token="", config_id="warm-up"))
        try:
            await (await self.clusters.of(intent.server_id)).warm_up(warm_up_job(plan, self.settings))
        except (UnavailableError, LaunchFailedError) as error:
            log.info("no warm-up", chute=intent.chute_id, reason=str(error))
            return False
        return True

    async def _permitted(
        self, order: LaunchOrder, facts: Mapping[str, object], config: LaunchConfig | None
    ) -> LaunchOutcome:
        intent = order.intent
        node = await self.node_state(intent.server_id, str(facts["server_name"])) if config is None else NodeState.OPEN
        if node is not NodeState.OPEN:
            await self.store.remove(order.deployment_id, JournalStep.ROLLED_BACK, CLOSED)
            return LaunchOutcome(LaunchResult.CLOSED, order.deployment_id, CLOSED)
        validator = str(facts["validator"])
        answer = config or await self.ask(intent, validator)
        if isinstance(answer, LaunchRefusal):
            await self.store.remove(order.deployment_id, JournalStep.ROLLED_BACK, f"refused: {answer.status}")
            if intent.job_id is None:
                await self.remember_refusal(intent.chute_id, answer)
            return LaunchOutcome(LaunchResult.REFUSED, order.deployment_id, answer.detail, answer.status)
        if not await self.store.permit(order.deployment_id, answer.config_id):
            return await self._roll_back(order, "the row disappeared in flight", validator)
        return await self._deployed(order, plan_of(order, facts, answer))

    async def _deployed(self, order: LaunchOrder, plan: DeploymentPlan) -> LaunchOutcome:
        try:
            cluster = await self.clusters.of(order.intent.server_id)
            if plan.needs_code:
                await cluster.create_config_map(manifests.code_config_map(plan, self.settings))
            ports = await cluster.create_service(manifests.service(plan, self.settings))
            await self.store.step(order.deployment_id, JournalKind.LAUNCH, JournalStep.SERVICE)
            if await cluster.node_state(plan.server_name) is not NodeState.OPEN:  # since the token was asked for
                return await self._roll_back(order, CLOSED)
            await cluster.create_job(manifests.job(plan, self.settings, ports))
            # A cleaner on the worker removes Services without a Job: the gap between the two is the risk.
            if await cluster.service_ports(service_name(plan.deployment_id)) is None:
                return await self._roll_back(order, "its Service was removed before its Job was there", plan.validator)
            port = ports[next(iter(sorted(ports, key=lambda key: (key[0] != "TCP" or key[1] != 8000, key))))]
        except (UnavailableError, LaunchFailedError, KeyError) as error:
            return await self._roll_back(order, f"{type(error).__name__}: {error}", plan.validator)
        if not await self.store.launched(order.deployment_id, plan.server_address, port):
            return await self._roll_back(order, "the row disappeared in flight", plan.validator)
        return LaunchOutcome(LaunchResult.LAUNCHED, order.deployment_id)

    async def _roll_back(self, order: LaunchOrder, reason: str, validator: str | None = None) -> LaunchOutcome:
        """Take everything back. Objects that are still there keep the entry open and the GPUs claimed; the recovery
        finishes it once they are gone."""
        intent = order.intent
        log.warning("launch failed", deployment=order.deployment_id, chute=intent.chute_id, reason=reason)
        await self.store.step(order.deployment_id, JournalKind.LAUNCH, JournalStep.ROLLING_BACK)
        try:
            cluster = await self.clusters.of(intent.server_id)
            await cluster.delete_deployment(order.deployment_id)
            if not await cluster.has_pods(order.deployment_id):
                await self.store.remove(order.deployment_id, JournalStep.ROLLED_BACK, reason[:300])
        except UnavailableError as error:
            log.warning("roll-back is left for later", deployment=order.deployment_id, reason=str(error))
        await self.store.remember_failure(intent.chute_id, intent.server_id, reason, FAILURE_SECONDS)
        if intent.job_id is not None:
            await self.release(intent.job_id, validator)
        return LaunchOutcome(LaunchResult.FAILED, order.deployment_id, reason)

    async def release(self, job_id: str, validator: str | None) -> None:
        """Give a job back to its validator; where that is not known, to all: the others know no such job."""
        own = self.validators.get(validator or "")
        for port in self.validators.values() if own is None else (own,):
            try:
                await port.release_job(job_id)
            except UnavailableError as error:
                log.warning("a job could not be released", job=job_id, reason=str(error))


def plan_of(order: LaunchOrder, facts: Mapping[str, object], config: LaunchConfig) -> DeploymentPlan:
    """The manifest inputs of a launch."""
    runtime, neighbours = facts["chutes_version"], facts["neighbours"]
    if not isinstance(neighbours, list):
        raise TypeError(f"the neighbours of a launch are a list, got {type(neighbours).__name__}")
    return DeploymentPlan(
        deployment_id=order.deployment_id,
        chute_id=order.intent.chute_id,
        version=order.intent.version,
        image=str(facts["image"]),
        ref_str=str(facts["ref_str"]),
        chutes_version=None if runtime is None else str(runtime),
        tee=bool(facts["tee"]),
        validator=str(facts["validator"]),
        server_name=str(facts["server_name"]),
        server_address=str(facts["ip_address"] or ""),
        gpu_ids=order.gpu_ids,
        cpu_per_gpu=int(str(facts["cpu_per_gpu"])),
        memory_per_gpu=int(str(facts["memory_per_gpu"])),
        disk_gb=order.intent.disk_gb,
        vm_version=order.vm_version,
        token=config.token,
        config_id=config.config_id,
        job_id=order.intent.job_id,
        job_ports=order.job_ports if order.intent.job_id else (),
        filename=str(facts["filename"] or ""),
        code=str(facts["code"] or ""),
        neighbours=tuple(sorted(map(str, neighbours))),
    )


def job_ports_of(declared: Sequence[tuple[str, int]]) -> tuple[JobPort, ...]:
    """Ports of a job's launch, each protocol and number once."""
    return tuple(dict.fromkeys(JobPort.declared(proto, port) for proto, port in declared))

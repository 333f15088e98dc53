"""One ending, step by step (spec: gepetto 15.2, 24.10; rules 27.12, 27.16).

draining -> confirm an absence by the live source -> instance -> Job and Service -> pods seen absent -> row and GPUs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import structlog

from app.gepetto.decision.intents import Evidence, ForgetInstance, RemoveOrphan, Terminate
from app.gepetto.execution.store import Store
from app.gepetto.ports import ClusterPort, ClustersPort, UnavailableError, ValidatorPort
from app.gepetto.world.views import DeploymentView
from app.storage.journal import JournalStep

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 2.0
#: A copy that died before its first paid hour: the pair of chute and server is left alone (spec: gepetto 22.10).
UNPAID_SECONDS: Final = 300.0
_FAILURES: Final = frozenset({Evidence.POD_FINISHED, Evidence.START_OVERDUE})


class EndingResult(StrEnum):
    DONE = "done"
    ALREADY = "already"
    VETOED = "vetoed"
    UNFOUNDED = "unfounded"
    WAITING = "waiting"


@dataclass(frozen=True)
class Ender:
    """Carries out endings. `wait_seconds` is how long pods get to leave before the ending is left for a later pass."""

    store: Store
    clusters: ClustersPort
    validators: Mapping[str, ValidatorPort]
    wait_seconds: float = 200.0
    poll_seconds: float = POLL_SECONDS
    clock: Callable[[], float] = time.time

    async def end(self, row: DeploymentView, intent: Terminate) -> EndingResult:
        """End one copy. A second call while the first is under way changes nothing."""
        evidence = intent.evidence
        try:
            cluster = await self.clusters.of(row.server_id)
            if evidence.is_absence and not await self._is_confirmed(cluster, row, evidence):
                return EndingResult.UNFOUNDED
        except UnavailableError as error:
            log.info("an ending waits for its cluster or validator", deployment=row.id, reason=str(error))
            return EndingResult.VETOED
        if not await self.store.drain(row.id, evidence.value, intent.reason):
            return EndingResult.ALREADY
        if evidence in _FAILURES and row.job_id is None and not row.has_paid(self.clock()):
            await self.store.remember_failure(row.chute_id, row.server_id, intent.reason, UNPAID_SECONDS)
        return await self.finish(row.id, row.server_id, row.chute_id, row.instance_id, row.validator, evidence)

    async def finish(
        self,
        deployment_id: str,
        server_id: str,
        chute_id: str,
        instance_id: str | None,
        validator: str | None,
        evidence: Evidence | None,
    ) -> EndingResult:
        """Go on with an ending that is in the journal; also what a restart does."""
        try:
            port = self.validators.get(validator or "")
            if instance_id and port is not None and evidence is not Evidence.VALIDATOR_ENDED:
                await port.delete_instance(chute_id, instance_id)
            cluster = await self.clusters.of(server_id)
            await cluster.delete_deployment(deployment_id)
            if not await self._wait_gone(cluster, deployment_id):
                return EndingResult.WAITING
        except UnavailableError as error:
            log.info("an ending is left for later", deployment=deployment_id, reason=str(error))
            return EndingResult.WAITING
        await self.store.remove(deployment_id, JournalStep.UNDEPLOYED)
        return EndingResult.DONE

    async def _wait_gone(self, cluster: ClusterPort, deployment_id: str) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.wait_seconds
        while await cluster.has_pods(deployment_id):
            if loop.time() >= deadline:
                return False
            await asyncio.sleep(self.poll_seconds)
        return True

    async def _is_confirmed(self, cluster: ClusterPort, row: DeploymentView, evidence: Evidence) -> bool:
        """Whether the live source itself says that the thing is gone."""
        if evidence is Evidence.ABSENT_POD:
            return not await cluster.has_pods(row.id)
        port = self.validators.get(row.validator)
        if port is None or row.instance_id is None:
            return False
        return row.instance_id in await port.deleted_instances()

    async def check_victims(self, rows: tuple[DeploymentView, ...]) -> bool:
        """Whether every victim of a swap can be ended: all clusters answer. Nothing is touched."""
        try:
            for row in rows:
                await (await self.clusters.of(row.server_id)).has_pods(row.id)
        except UnavailableError:
            return False
        return True

    async def remove_orphan(self, intent: RemoveOrphan) -> EndingResult:
        """Remove objects without a row, after looking for the row once more."""
        async with asyncio.timeout(30):
            if await self.store.exists(intent.deployment_id):
                return EndingResult.UNFOUNDED
        try:
            cluster = await self.clusters.of(intent.server_id)
            await cluster.delete_deployment(intent.deployment_id)
        except UnavailableError:
            return EndingResult.WAITING
        return EndingResult.DONE

    async def forget_instance(self, intent: ForgetInstance, config_id: str | None) -> EndingResult:
        """Delete an instance without row and pod, after asking every cluster live for a pod of its launch config."""
        if config_id is not None:
            try:
                for server_id in await self.store.server_ids():
                    pods = await (await self.clusters.of(server_id)).list_pods(server_id)
                    if any(pod.config_id == config_id for pod in pods):
                        return EndingResult.UNFOUNDED
            except UnavailableError:
                return EndingResult.VETOED
        for port in self.validators.values():
            try:
                await port.delete_instance(intent.chute_id, intent.instance_id)
            except UnavailableError:
                return EndingResult.WAITING
        return EndingResult.DONE

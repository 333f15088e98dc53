"""One ending, step by step (spec: gepetto 15.2, 24.10; rules 27.12, 27.16).

draining -> confirm an absence by the live source -> instance -> Job and Service -> pods seen absent -> row and GPUs.
Never does anything on an absence that no live source confirms; what has no row is in `orphans`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import structlog

from app.gepetto.decision.intents import Evidence, Terminate
from app.gepetto.execution.opened import OpenEntry
from app.gepetto.execution.store import Store
from app.gepetto.ports import ClusterPort, ClustersPort, UnavailableError, ValidatorPort, ValidatorRefusedError
from app.gepetto.world.views import DeploymentView
from app.storage.journal import JournalKind, JournalStep

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 2.0
#: A copy that died before its first paid hour: the pair of chute and server is left alone (spec: gepetto 22.10).
UNPAID_SECONDS: Final = 300.0
#: A validator that refuses to delete an instance for so long is taken at its word, whatever the status.
PATIENCE_SECONDS: Final = 3600.0
_FAILURES: Final = frozenset({Evidence.POD_FINISHED, Evidence.START_OVERDUE})
#: Endings that nothing but our own wish asks for: given up where the validator will not have them.
_WISHES: Final = frozenset({Evidence.PREEMPTED, Evidence.STRATEGY, Evidence.BOUNTY_LOST})


class EndingResult(StrEnum):
    """How an ending, or a removal, came out."""

    DONE = "done"
    #: Pods, row and claims are gone; the validator refused to delete the instance and will notice by itself.
    DONE_REFUSED = "done_refused"
    #: The validator refused, and nothing but our wish asked for the ending: the copy stays as it was.
    KEPT = "kept"
    #: Its row and its server have been taken out meanwhile: nothing is left that could be ended.
    ABANDONED = "abandoned"
    ALREADY = "already"
    VETOED = "vetoed"
    UNFOUNDED = "unfounded"
    WAITING = "waiting"

    @property
    def is_done(self) -> bool:
        """Whether the copy is gone and its GPUs are free."""
        return self in {EndingResult.DONE, EndingResult.DONE_REFUSED, EndingResult.ABANDONED}


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
        """End one copy. A second call while the first is under way, or while it is launched, changes nothing."""
        with self.store.working.claim(row.id) as is_mine:
            return await self._end(row, intent) if is_mine else EndingResult.ALREADY

    async def _end(self, row: DeploymentView, intent: Terminate) -> EndingResult:
        evidence = intent.evidence
        try:
            cluster = await self.clusters.of(row.server_id)
            if evidence.is_absence and not await self._is_confirmed(cluster, row, evidence):
                return EndingResult.UNFOUNDED
        except UnavailableError as error:
            log.info("an ending waits for its cluster or validator", deployment=row.id, reason=str(error))
            return EndingResult.VETOED
        starting_only = evidence is Evidence.BOUNTY_LOST
        if not await self.store.drain(row.id, evidence.value, intent.reason, starting_only=starting_only):
            return EndingResult.ALREADY
        if evidence in _FAILURES and row.job_id is None and not row.has_paid(self.clock()):
            await self.store.remember_failure(row.chute_id, row.server_id, intent.reason, UNPAID_SECONDS)
        entry = OpenEntry(
            row.id, JournalKind.TERMINATE, JournalStep.DRAINING, row.server_id, row.chute_id, evidence.value,
            row.job_id, row.instance_id, row.validator, None,
        )  # fmt: skip
        return await self.finish(entry)

    async def finish(self, entry: OpenEntry) -> EndingResult:
        """Go on with an ending that is in the journal; also what a restart does. Only for the holder of its claim."""
        if not entry.has_row and not entry.has_server:
            log.error("an ending is abandoned: its server was taken out", deployment=entry.deployment_id)
            await self.store.close(entry.deployment_id, JournalStep.ABANDONED, "its row and its server have gone")
            return EndingResult.ABANDONED
        if entry.active and entry.evidence == Evidence.BOUNTY_LOST:
            await self.store.close(entry.deployment_id, JournalStep.KEPT, "it has become active all the same")
            return EndingResult.KEPT
        try:
            refusal = await self._delete_instance(entry)
            if refusal is not None and entry.evidence in _WISHES:
                log.error("a copy is kept: its validator refuses to end it", deployment=entry.deployment_id)
                await self.store.close(entry.deployment_id, JournalStep.KEPT, refusal)
                return EndingResult.KEPT
            cluster = await self.clusters.of(entry.server_id)
            await cluster.delete_deployment(entry.deployment_id)
            if not await self._wait_gone(cluster, entry.deployment_id):
                return EndingResult.WAITING
        except UnavailableError as error:
            log.info("an ending is left for later", deployment=entry.deployment_id, reason=str(error))
            return EndingResult.WAITING
        await self.store.remove(entry.deployment_id, JournalStep.UNDEPLOYED, refusal)
        return EndingResult.DONE if refusal is None else EndingResult.DONE_REFUSED

    async def _delete_instance(self, entry: OpenEntry) -> str | None:
        """Tell the validator first, so that no request reaches a dying pod. Its words, where it refuses for good.

        Raises:
            UnavailableError: it gave no answer, or one that may be another soon.
        """
        if entry.instance_id is None or entry.evidence == Evidence.VALIDATOR_ENDED:
            return None
        port = self.validators.get(entry.validator or "")
        if port is None:
            log.warning(
                "an instance is not deleted: its validator is not configured", deployment=entry.deployment_id,
                instance=entry.instance_id, validator=entry.validator,
            )  # fmt: skip
            return None
        try:
            await port.delete_instance(entry.chute_id, entry.instance_id)
        except ValidatorRefusedError as error:
            if not error.is_lasting and entry.age_seconds < PATIENCE_SECONDS:
                raise
            refusal = error
        else:
            return None
        log.error(
            "a validator refuses to delete an instance", deployment=entry.deployment_id, instance=entry.instance_id,
            status=refusal.status, reason=str(refusal),
        )  # fmt: skip
        return f"the validator refused to delete the instance: {refusal}"[:300]

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

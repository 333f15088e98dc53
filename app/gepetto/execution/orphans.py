"""Removes what stands without a row: objects of a cluster, instances of a validator (spec: gepetto 16; rule 27.14).

Both look at the live sources first. What cannot be looked at live is left alone: absence of evidence never deletes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from app.gepetto.decision.intents import ForgetInstance, RemoveOrphan
from app.gepetto.execution.ending import EndingResult
from app.gepetto.execution.store import Store
from app.gepetto.ports import ClustersPort, UnavailableError, ValidatorPort, ValidatorRefusedError
from app.gepetto.world.views import InstanceView

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 120.0


@dataclass(frozen=True)
class Orphans:
    """Removals of what no row stands for."""

    store: Store
    clusters: ClustersPort
    validators: Mapping[str, ValidatorPort]

    async def remove_objects(self, intent: RemoveOrphan) -> EndingResult:
        """Remove objects without a row, after looking for the row once more. A launch under way has one soon."""
        with self.store.working.claim(intent.deployment_id) as is_mine:
            if not is_mine or await self.store.exists(intent.deployment_id):
                return EndingResult.UNFOUNDED
            try:
                cluster = await self.clusters.of(intent.server_id)
                await cluster.delete_deployment(intent.deployment_id)
            except UnavailableError:
                return EndingResult.WAITING
        return EndingResult.DONE

    async def forget_instance(self, intent: ForgetInstance, instance: InstanceView | None) -> EndingResult:
        """Delete an instance at its own validator, once no row and no pod of any cluster, read now, stands for it.

        An instance without a launch config is left alone: no pod can be told not to be it.
        """
        if instance is None or not instance.config_id:
            log.warning("an instance without a launch config is left alone", instance=intent.instance_id)
            return EndingResult.UNFOUNDED
        port = self.validators.get(instance.validator)
        if port is None:
            log.warning("an instance of a validator that is not configured is left alone", instance=intent.instance_id)
            return EndingResult.UNFOUNDED
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                if await self._stands(instance.id, instance.config_id):
                    return EndingResult.UNFOUNDED
        except (UnavailableError, TimeoutError) as error:
            log.info("an instance stays: not every cluster answers", instance=instance.id, reason=str(error))
            return EndingResult.VETOED
        try:
            await port.delete_instance(intent.chute_id, intent.instance_id)
        except ValidatorRefusedError as error:
            log.warning("a validator refuses to forget an instance", instance=instance.id, reason=str(error))
            return EndingResult.VETOED
        except UnavailableError:
            return EndingResult.WAITING
        return EndingResult.DONE

    async def _stands(self, instance_id: str, config_id: str) -> bool:
        """Whether a pod with that launch config, or a row, is there now. Clusters first: a row comes before its pod.

        Raises:
            UnavailableError: a cluster did not answer, or there is none that could.
        """
        servers = await self.store.server_ids()
        if not servers:
            raise UnavailableError("no server is known: nobody can say that a pod is not there")
        seen: set[str | None] = set()
        for server_id in servers:
            seen |= {pod.config_id for pod in await (await self.clusters.of(server_id)).list_pods(server_id)}
        return config_id in seen or await self.store.stands_for(instance_id, config_id)

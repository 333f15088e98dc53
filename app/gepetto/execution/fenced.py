"""Clusters and validators behind the leader's fence: reading is free, every act looks at the epoch first.

The executor gets nothing else, so that no act of it can be forgotten (spec: gepetto 24.1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.gepetto.execution.fence import Fence
from app.gepetto.ports import ClusterPort, ClustersPort, Feed, JsonObject, LaunchRefusal, ValidatorPort
from app.gepetto.world.views import NodeState, PodView
from app.protocol.chutes import ChuteRecord, ImageRecord, Utilization
from app.protocol.instances import ActiveInstance, InstanceRecord, LaunchConfig
from app.protocol.servers import RemoteServer


@dataclass(frozen=True)
class FencedCluster:
    """One cluster. Acts raise `DeposedError` where this process leads no longer."""

    cluster: ClusterPort
    fence: Fence

    async def create_service(self, manifest: JsonObject) -> Mapping[tuple[str, int], int]:
        await self.fence.check()
        return await self.cluster.create_service(manifest)

    async def create_job(self, manifest: JsonObject) -> None:
        await self.fence.check()
        await self.cluster.create_job(manifest)

    async def create_config_map(self, manifest: JsonObject) -> None:
        await self.fence.check()
        await self.cluster.create_config_map(manifest)

    async def delete_deployment(self, deployment_id: str) -> None:
        await self.fence.check()
        await self.cluster.delete_deployment(deployment_id)

    async def warm_up(self, manifest: JsonObject) -> None:
        await self.fence.check()
        await self.cluster.warm_up(manifest)

    async def service_ports(self, name: str) -> Mapping[tuple[str, int], int] | None:
        return await self.cluster.service_ports(name)

    async def has_job(self, name: str) -> bool:
        return await self.cluster.has_job(name)

    async def has_pods(self, deployment_id: str) -> bool:
        return await self.cluster.has_pods(deployment_id)

    async def list_pods(self, server_id: str) -> tuple[PodView, ...]:
        return await self.cluster.list_pods(server_id)

    async def node_state(self, node: str) -> NodeState:
        return await self.cluster.node_state(node)

    async def disk_free_gb(self) -> float | None:
        return await self.cluster.disk_free_gb()


@dataclass(frozen=True)
class FencedClusters:
    """Clusters by server."""

    clusters: ClustersPort
    fence: Fence

    async def of(self, server_id: str) -> FencedCluster:
        return FencedCluster(await self.clusters.of(server_id), self.fence)


class FencedValidator:
    """One validator. Acts raise `DeposedError` where this process leads no longer; a launch config is an act."""

    def __init__(self, validator: ValidatorPort, fence: Fence) -> None:
        self._validator, self._fence = validator, fence
        self.hotkey = validator.hotkey

    async def launch_config(self, chute_id: str, job_id: str | None = None) -> LaunchConfig | LaunchRefusal:
        await self._fence.check()
        return await self._validator.launch_config(chute_id, job_id)

    async def delete_instance(self, chute_id: str, instance_id: str) -> None:
        await self._fence.check()
        await self._validator.delete_instance(chute_id, instance_id)

    async def release_job(self, job_id: str) -> None:
        await self._fence.check()
        await self._validator.release_job(job_id)

    async def delete_server(self, server_id: str, gpu_ids: Sequence[str]) -> None:
        await self._fence.check()
        await self._validator.delete_server(server_id, gpu_ids)

    async def rename_server(self, server_id: str, name: str) -> bool:
        await self._fence.check()
        return await self._validator.rename_server(server_id, name)

    async def deleted_instances(self) -> frozenset[str]:
        return await self._validator.deleted_instances()

    async def chutes(self) -> Feed[ChuteRecord]:
        return await self._validator.chutes()

    async def chute(self, chute_id: str, version: str) -> ChuteRecord | None:
        return await self._validator.chute(chute_id, version)

    async def images(self) -> Feed[ImageRecord]:
        return await self._validator.images()

    async def instances(self) -> Feed[InstanceRecord]:
        return await self._validator.instances()

    async def active_instances(self) -> Feed[ActiveInstance]:
        return await self._validator.active_instances()

    async def servers(self) -> Feed[RemoteServer]:
        return await self._validator.servers()

    async def utilization(self) -> Feed[Utilization]:
        return await self._validator.utilization()

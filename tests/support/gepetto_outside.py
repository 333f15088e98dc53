"""Stand-ins for validators and clusters behind Gepetto's ports, with switches for every kind of fault."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.gepetto.ports import (
    Feed,
    JsonObject,
    LaunchFailedError,
    LaunchRefusal,
    UnavailableError,
    ValidatorRefusedError,
)
from app.gepetto.world.views import NodeState, PodView
from app.protocol import labels
from app.protocol.chutes import ChuteRecord, ImageRecord, Utilization
from app.protocol.instances import ActiveInstance, InstanceRecord, LaunchConfig
from app.protocol.servers import RemoteServer
from tests.support.gepetto import VALIDATOR


@dataclass
class FakeValidator:
    """A validator with a list of everything and a switch for every fault."""

    hotkey: str = VALIDATOR
    chute_list: list[ChuteRecord] = field(default_factory=list)
    instance_list: list[InstanceRecord] = field(default_factory=list)
    active_list: list[ActiveInstance] = field(default_factory=list)
    usage: list[Utilization] = field(default_factory=list)
    server_list: list[RemoteServer] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    refuse_with: int | None = None
    is_down: bool = False
    cut_lists: bool = False
    empty_lists: bool = False
    calls: list[tuple[str, str]] = field(default_factory=list)
    token_delay_seconds: float = 0.0
    refuse_name_with: int | None = None
    refuse_deletion_with: int | None = None

    def _answer(self, name: str, subject: str = "") -> None:
        self.calls.append((name, subject))
        if self.is_down:
            raise UnavailableError("the validator is down")

    def _feed(self, items: list[object]) -> Feed:  # type: ignore[type-arg]
        if self.empty_lists:
            return Feed((), complete=not self.cut_lists)
        return Feed(tuple(items[: len(items) // 2] if self.cut_lists else items), complete=not self.cut_lists)

    async def launch_config(self, chute_id: str, job_id: str | None = None) -> LaunchConfig | LaunchRefusal:
        await asyncio.sleep(self.token_delay_seconds)
        self._answer("launch_config", chute_id)
        if self.refuse_with is not None:
            return LaunchRefusal(self.refuse_with, "as told")
        return LaunchConfig(token="made-up", config_id=f"config-{len(self.calls)}")

    async def delete_instance(self, chute_id: str, instance_id: str) -> None:
        self._answer("delete_instance", instance_id)
        if self.refuse_deletion_with is not None:
            raise ValidatorRefusedError("DELETE: as told", self.refuse_deletion_with)
        self.gone.add(instance_id)
        self.instance_list = [item for item in self.instance_list if item.instance_id != instance_id]

    async def release_job(self, job_id: str) -> None:
        self._answer("release_job", job_id)

    async def delete_server(self, server_id: str, gpu_ids: Sequence[str]) -> None:
        self._answer("delete_server", f"{server_id} {len(gpu_ids)}")

    async def rename_server(self, server_id: str, name: str) -> bool:
        self._answer("rename_server", f"{server_id} {name}")
        if self.refuse_name_with is not None:
            raise ValidatorRefusedError("PATCH: as told", self.refuse_name_with)
        return any(server.server_id == server_id for server in self.server_list)

    async def deleted_instances(self) -> frozenset[str]:
        self._answer("deleted_instances")
        return frozenset(self.gone)

    async def chutes(self) -> Feed[ChuteRecord]:
        self._answer("chutes")
        return self._feed(list(self.chute_list))

    async def chute(self, chute_id: str, version: str) -> ChuteRecord | None:
        self._answer("chute", chute_id)
        return next((item for item in self.chute_list if (item.chute_id, item.version) == (chute_id, version)), None)

    async def images(self) -> Feed[ImageRecord]:
        return Feed((), complete=True)

    async def instances(self) -> Feed[InstanceRecord]:
        self._answer("instances")
        return self._feed(list(self.instance_list))

    async def active_instances(self) -> Feed[ActiveInstance]:
        self._answer("active_instances")
        return self._feed(list(self.active_list))

    async def servers(self) -> Feed[RemoteServer]:
        self._answer("servers")
        return self._feed(list(self.server_list))

    async def utilization(self) -> Feed[Utilization]:
        self._answer("utilization")
        return self._feed(list(self.usage))


@dataclass
class FakeCluster:
    """One cluster's objects by name. `fail_at` names the call that fails; `is_down` fails them all."""

    jobs: dict[str, JsonObject] = field(default_factory=dict)
    services: dict[str, JsonObject] = field(default_factory=dict)
    config_maps: list[JsonObject] = field(default_factory=list)
    finished: set[str] = field(default_factory=set)
    created_at: float = 0.0
    fail_at: str = ""
    is_down: bool = False
    hangs: bool = False
    lose_services: bool = False
    stuck_pods: set[str] = field(default_factory=set)
    disk_gb: float | None = None
    node: NodeState = NodeState.OPEN
    events: list[str] = field(default_factory=list)

    def _call(self, name: str) -> None:
        self.events.append(name)
        if self.is_down or self.fail_at == f"{name}:down":
            raise UnavailableError(f"{name}: the cluster does not answer")
        if self.fail_at == name:
            raise LaunchFailedError(f"{name}: refused")

    async def create_service(self, manifest: JsonObject) -> Mapping[tuple[str, int], int]:
        self._call("create_service")
        name = _name(manifest)
        self.services[name] = manifest
        return self._ports(manifest)

    @staticmethod
    def _ports(manifest: JsonObject) -> dict[tuple[str, int], int]:
        spec = manifest["spec"]
        assert isinstance(spec, dict)
        return {(port["protocol"], port["port"]): 30000 + port["port"] % 2000 for port in spec["ports"]}

    async def create_job(self, manifest: JsonObject) -> None:
        self._call("create_job")
        self.jobs[_name(manifest)] = manifest
        if self.lose_services:
            self.services.clear()

    async def create_config_map(self, manifest: JsonObject) -> None:
        self._call("create_config_map")
        self.config_maps.append(manifest)

    async def service_ports(self, name: str) -> Mapping[tuple[str, int], int] | None:
        self._call("service_ports")
        return self._ports(self.services[name]) if name in self.services else None

    async def has_job(self, name: str) -> bool:
        self._call("has_job")
        return name in self.jobs

    async def delete_deployment(self, deployment_id: str) -> None:
        self._call("delete_deployment")
        if self.hangs:
            await asyncio.sleep(3600)
        if deployment_id not in self.stuck_pods:
            self.jobs.pop(f"chute-{deployment_id}", None)
        self.services.pop(f"chute-service-{deployment_id}", None)

    async def has_pods(self, deployment_id: str) -> bool:
        self._call("has_pods")
        return f"chute-{deployment_id}" in self.jobs

    async def list_pods(self, server_id: str) -> tuple[PodView, ...]:
        self._call("list_pods")
        return tuple(self._view(server_id, name, job) for name, job in self.jobs.items())

    def _view(self, server_id: str, name: str, job: JsonObject) -> PodView:
        metadata = job["metadata"]
        assert isinstance(metadata, dict)
        found = metadata["labels"]
        deployment_id = name.removeprefix("chute-")
        return PodView(
            deployment_id,
            server_id,
            self.created_at,
            found.get(labels.CONFIG_ID),
            found.get(labels.JOB_ID),
            ready=True,
            finished=deployment_id in self.finished,
        )

    async def node_state(self, node: str) -> NodeState:
        assert node
        if self.is_down:
            raise UnavailableError("the cluster does not answer")
        return self.node

    async def disk_free_gb(self) -> float | None:
        self._call("disk_free_gb")
        return self.disk_gb

    async def warm_up(self, manifest: JsonObject) -> None:
        self._call("warm_up")


@dataclass
class FakeClusters:
    """Clusters by server id."""

    by_server: dict[str, FakeCluster] = field(default_factory=dict)

    async def of(self, server_id: str) -> FakeCluster:
        return self.by_server.setdefault(server_id, FakeCluster())


def _name(manifest: JsonObject) -> str:
    metadata = manifest["metadata"]
    assert isinstance(metadata, dict)
    return str(metadata["name"])

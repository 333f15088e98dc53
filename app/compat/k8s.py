"""Kubernetes functions under their public names, over our own executor and clients (spec: gepetto 24.7).

Claims, journal and roll-back are ours; the destructive budget is not asked, because a public file decides by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.compat.exceptions import DeploymentFailure
from app.compat.runtime import current
from app.compat.schemas import GPU, Chute, Deployment, Server
from app.gepetto.decision.intents import Evidence, Launch, Terminate
from app.gepetto.execution.launch import LaunchOrder, LaunchResult
from app.gepetto.kubernetes.plan import JobPort, job_name
from app.gepetto.ports import UnavailableError
from app.gepetto.world.views import DeploymentState, DeploymentView, PodView
from app.protocol import labels
from app.protocol.instances import LaunchConfig
from app.protocol.wire import version_tuple


def _session() -> AsyncSession:
    return AsyncSession(current().engine, expire_on_commit=False)


async def get_kubernetes_nodes() -> list[dict[str, object]]:
    """Our servers as the public program lists nodes."""
    async with _session() as session:
        servers = (await session.scalars(select(Server).order_by(Server.name))).all()
    return [
        {
            "name": server.name,
            "server_id": server.server_id,
            "validator": server.validator,
            "status": "Ready",
            "ip_address": server.ip_address,
            "cpu_per_gpu": server.cpu_per_gpu,
            "memory_gb_per_gpu": server.memory_per_gpu,
            "gpu_count": server.gpu_count,
            "labels": server.labels,
        }
        for server in servers
    ]


def _described(pod: PodView) -> dict[str, object]:
    return {
        "deployment_id": pod.deployment_id,
        "name": job_name(pod.deployment_id),
        "namespace": labels.CHUTES_NAMESPACE,
        "labels": {labels.DEPLOYMENT_ID: pod.deployment_id, labels.CONFIG_ID: pod.config_id},
        "ready": pod.ready,
        "status": {"succeeded": int(pod.finished), "failed": 0, "active": int(not pod.finished)},
        "pods": [],
    }


async def _pods() -> list[PodView]:
    runtime = current()
    async with _session() as session:
        ids = (await session.scalars(select(Server.server_id))).all()
    return [pod for server_id in ids for pod in await (await runtime.clusters.of(server_id)).list_pods(server_id)]


async def get_deployed_chutes() -> list[dict[str, object]]:
    """Every deployment that any cluster shows, read live."""
    return [_described(pod) for pod in await _pods()]


async def get_deployed_chutes_legacy() -> list[dict[str, object]]:
    """Old-style Deployments: there are none any more."""
    return []


async def get_deployment(deployment_id: str) -> dict[str, object]:
    """One deployment as its cluster shows it.

    Raises:
        LookupError: no cluster shows it.
    """
    found = next((pod for pod in await _pods() if pod.deployment_id == deployment_id), None)
    if found is None:
        raise LookupError(f"no cluster shows deployment {deployment_id}")
    return _described(found)


async def delete_preflight(deployment_id: str) -> bool:
    """Whether a deployment may be ended now: its cluster answers."""
    async with _session() as session:
        row = await session.get(Deployment, deployment_id)
    if row is None:
        return True
    return await current().executor.ender.check_victims((_view(row),))


def _view(row: Deployment) -> DeploymentView:
    return DeploymentView(
        id=row.deployment_id,
        chute_id=row.chute_id,
        version=row.version,
        server_id=row.server_id,
        gpu_mask=0,
        state=DeploymentState.ACTIVE if row.active else DeploymentState.LAUNCHED,
        since=0.0,
        created_at=0.0,
        validator=row.validator,
        config_id=row.config_id,
        instance_id=row.instance_id,
        job_id=row.job_id,
    )


async def undeploy(deployment_id: str) -> None:
    """End a deployment: its row and GPUs go last, when its pods are gone."""
    async with _session() as session:
        row = await session.get(Deployment, deployment_id)
    if row is not None:
        await current().executor.ender.end(_view(row), Terminate(deployment_id, Evidence.OPERATOR, "public file"))


async def wait_for_deletion(label_selector: str, timeout_seconds: int = 120) -> None:
    """Endings wait by themselves; nothing is left to wait for."""


async def create_code_config_map(chute: Chute, force: bool = False) -> None:
    """Code ConfigMaps are made on the target cluster at launch, where a pod needs one; nothing is made ahead."""


async def delete_code(chute_id: str, version: str) -> None:
    """Code ConfigMaps of old versions are small and named by version; they are left."""


async def check_node_has_disk_available(node_name: str, required_disk_gb: int) -> bool:  # noqa: ARG001
    """Whether a server may take a copy with that much disk; the launch itself is the test."""
    async with _session() as session:
        return (await session.scalars(select(Server).where(Server.name == node_name))).first() is not None


async def deploy_chute(  # noqa: PLR0913, PLR0917 - the public signature
    chute_id: str | Chute,
    server_id: str | Server,
    token: str | None = None,
    job_id: str | None = None,
    config_id: str | None = None,
    disk_gb: int = 10,
    extra_labels: dict[str, str] | None = None,  # noqa: ARG001
    extra_service_ports: Sequence[dict[str, object]] = (),
    vm_version: str | None = None,
) -> tuple[Deployment, dict[str, object]]:
    """Launch a copy on the first free GPUs of a server.

    Raises:
        DeploymentFailure: no GPUs, no token, or the cluster refused; nothing is left behind.
    """
    runtime = current()
    async with _session() as session:
        chute = await session.get(Chute, chute_id if isinstance(chute_id, str) else chute_id.chute_id)
        server = await session.get(Server, server_id if isinstance(server_id, str) else server_id.server_id)
        if chute is None or server is None:
            raise DeploymentFailure("the chute or the server is not known")
        free = select(GPU.gpu_id).where(
            GPU.server_id == server.server_id, GPU.verified.is_(True), GPU.deployment_id.is_(None)
        )
        gpus = (await session.scalars(free.order_by(GPU.gpu_id).limit(chute.gpu_count))).all()
    if len(gpus) < chute.gpu_count:
        raise DeploymentFailure(f"{server.name} has {len(gpus)} free GPUs, {chute.gpu_count} are needed")
    intent = Launch(chute.chute_id, chute.version, server.server_id, 0, "public file", job_id=job_id, disk_gb=disk_gb)
    ports = tuple(JobPort(str(p.get("protocol", "TCP")), int(str(p["port"]))) for p in extra_service_ports)
    order = LaunchOrder(
        intent, runtime.executor.new_id(), tuple(gpus), version_tuple(vm_version) if vm_version else None, ports
    )
    config = LaunchConfig(token=token, config_id=config_id) if token and config_id else None
    outcome = await runtime.executor.launcher.launch(order, config)
    if outcome.result is not LaunchResult.LAUNCHED:
        raise DeploymentFailure(f"{outcome.result.value}: {outcome.detail}")
    async with _session() as session:
        row = await session.get(Deployment, outcome.deployment_id)
    if row is None:
        raise DeploymentFailure("the row disappeared in flight")
    return row, {"name": job_name(row.deployment_id)}


class K8sOperator:
    """The public operator's one method that files use."""

    async def get_pods(self, label_selector: str = "") -> SimpleNamespace:  # noqa: ARG002
        """Pods as objects with `metadata.labels`, read live."""
        try:
            pods = await _pods()
        except UnavailableError as error:
            raise DeploymentFailure(str(error)) from error
        names = ({labels.DEPLOYMENT_ID: pod.deployment_id, labels.CONFIG_ID: pod.config_id} for pod in pods)
        return SimpleNamespace(items=[SimpleNamespace(metadata=SimpleNamespace(labels=name)) for name in names])

"""Settings to components to outputs: the table of contents of a fleet.

Read from the top: what is declared here is the whole stack. No configuration is read and no rule is written here.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pulumi

from app.protocol.labels import CHUTES_NAMESPACE
from app.protocol.ports import ClusterPort, HostPort, NodePort
from infra.charts import ChartError, pinned_archive
from infra.components.control_monitoring import monitoring_output
from infra.components.control_plane import ControlPlane, ControlPlaneArgs
from infra.components.gpu_node import GpuNode, GpuNodeArgs, miner_api_address
from infra.components.gpu_runtime import Chart, local_chart
from infra.components.images import Images, ImagesArgs
from infra.components.miner import Miner
from infra.images.tools import cache_folder
from infra.resources.control_tools import ControlTools
from infra.resources.host import RegistryLogin
from infra.settings import FleetSecrets, FleetSettings, PulumiConfigSource, SettingsError, load, read_secrets
from infra.settings.hosts import control_host
from infra.settings.programs import GepettoSource
from infra.settings.tree import Delivery
from infra.transforms import register_transforms

PROJECT: Final = "headframe"


@dataclass(frozen=True, kw_only=True)
class Places:
    """Folders of this machine: the clone, what is built in it, and slow builds outside it."""

    clone: Path
    cache: Path

    @property
    def charts(self) -> Path:
        """Copies of local charts; ignored by git."""
        return self.clone / "build" / "charts"


def main() -> None:
    """What the engine runs. Mistakes in the settings end it before anything is declared."""
    try:
        source = PulumiConfigSource(PROJECT)
        config, secrets = load(source), read_secrets(source)
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None
    for finding in config.warnings:
        pulumi.log.warn(str(finding))
    register_transforms(config.settings)
    for name, value in declare_fleet(config.settings, secrets, places()).items():
        pulumi.export(name, value)


def places() -> Places:
    """The clone that this file is in, and the cache folder of the environment."""
    return Places(clone=Path(__file__).parents[1], cache=cache_folder())


def declare_fleet(settings: FleetSettings, secrets: FleetSecrets, where: Places) -> dict[str, Any]:
    """Declare every resource of the fleet; answers the stack's outputs."""
    # What may fail comes before anything is declared.
    chart, gepetto_code = _chart(settings, where), _gepetto_code(settings, where)
    images = Images("images", _images(settings, where))
    logins = _registry_logins(settings, secrets)
    miner = Miner.of(settings, secrets)
    control = ControlPlane(
        settings.control.name,
        ControlPlaneArgs(
            settings=settings,
            private_key=secrets.ssh_private_key,
            registry_logins=logins,
            images=images.builds,
            backup_private_key=secrets.backup_private_key,
            miner=miner,
            gepetto_code=gepetto_code,
            grafana_password=secrets.grafana_password,
        ),
    )
    nodes = {
        node.name: GpuNode(
            node.name,
            GpuNodeArgs(
                settings=settings,
                node=node,
                private_key=secrets.ssh_private_key,
                registry_logins=logins,
                chart=chart,
                images=images.builds,
                miner=miner,
                control=control,
            ),
        )
        for node in sorted(settings.gpu_nodes, key=lambda node: node.name)
    }
    _operators_tools(settings, secrets, control, nodes)
    return _outputs(settings, images, control, nodes)


def _operators_tools(
    settings: FleetSettings, secrets: FleetSecrets, control: ControlPlane, nodes: dict[str, GpuNode]
) -> None:
    """On the control host, and apart from its Host: they wait for every node's kubeconfig."""
    clusters = {settings.control.name: control.cluster} | {
        name: node.cluster for name, node in nodes.items() if node.cluster
    }
    ControlTools(
        f"{settings.control.name}-tools",
        control=control_host(settings),
        private_key=secrets.ssh_private_key,
        kubeconfigs={name: cluster.kubeconfig for name, cluster in clusters.items()},
        opts=pulumi.ResourceOptions(parent=control, depends_on=[control.host]),
    )


def _images(settings: FleetSettings, where: Places) -> ImagesArgs:
    return ImagesArgs(
        clone=where.clone,
        cache=where.cache,
        registry=settings.images.registry,
        lab=settings.allowances.simulated_gpus,
        monitoring=settings.monitoring.enabled,
        push=settings.images.delivery is Delivery.REGISTRY,
        mirror=settings.images.mirror,
        base_digest=settings.images.base_digest,
    )


def _registry_logins(settings: FleetSettings, secrets: FleetSecrets) -> tuple[RegistryLogin, ...]:
    login, password = settings.kubernetes.registry_login, secrets.registry_password
    if login is None or password is None:
        return ()
    return (RegistryLogin(registry=login.registry, username=login.username, password=password),)


def _gepetto_code(settings: FleetSettings, where: Places) -> str | None:
    """The operator's gepetto.py, where the stack owns it (D15)."""
    file = settings.gepetto.file
    if file is None or settings.gepetto.source is not GepettoSource.STACK:
        return None
    try:
        return (where.clone / file).read_text()
    except OSError as error:
        raise pulumi.RunError(
            f"gepetto.file: {file} cannot be read: {error.strerror}. For the built-in strategies: "
            "pulumi config rm --path gepetto.file"
        ) from None


def _chart(settings: FleetSettings, where: Places) -> Chart:
    runtime = settings.gpu_runtime
    if runtime.repository is not None and runtime.version is not None and runtime.digest is not None:
        try:
            archive = pinned_archive(runtime.repository, runtime.chart, runtime.version, runtime.digest, where.cache)
        except ChartError as error:
            raise pulumi.RunError(str(error)) from None
        where.charts.mkdir(parents=True, exist_ok=True)
        copy = shutil.copyfile(archive, where.charts / f"{runtime.chart}-{runtime.digest[:12]}.tgz")
        return Chart(chart=os.path.relpath(copy, where.clone / "infra"), version=runtime.version)
    folder = where.clone / runtime.chart
    if not (folder / "Chart.yaml").exists():
        raise pulumi.RunError(
            f"gpu_runtime.chart: {runtime.chart} is no chart folder of this clone. For a chart of a repository: "
            "pulumi config set --path gpu_runtime.repository https://helm.ngc.nvidia.com/nvidia"
        )
    built = local_chart(folder, where.charts)
    # Plugins run in the program's folder; a path of this clone would be a change on another machine.
    return Chart(chart=os.path.relpath(built.chart, where.clone / "infra"), version=built.version)


def _outputs(
    settings: FleetSettings, images: Images, control: ControlPlane, nodes: dict[str, GpuNode]
) -> dict[str, Any]:
    """Hosts, clusters, endpoints and packages; kubeconfigs stay secret."""
    control_name = settings.control.name
    hosts = {control_name: control.host} | {name: node.host for name, node in nodes.items() if node.host}
    clusters = {control_name: control.cluster}
    clusters |= {name: node.cluster for name, node in nodes.items() if node.cluster}
    address = {node.name: node.address for node in (settings.control, *settings.gpu_nodes)}
    return {
        "hosts": {
            name: {"address": address[name], "reachable": host.reachable, "drift": host.drift, "facts": host.facts}
            for name, host in hosts.items()
        },
        "clusters": {
            name: {"endpoint": f"https://{address[name]}:{int(HostPort.KUBERNETES_API)}"} for name in clusters
        },
        "kubeconfigs": pulumi.Output.secret({name: cluster.kubeconfig for name, cluster in clusters.items()}),
        "endpoints": {
            "miner-api": miner_api_address(settings),
            "monitor": f"http://{settings.control.address}:{int(NodePort.MONITOR_API)}",
            "postgres": f"postgres.{CHUTES_NAMESPACE}.svc:{int(ClusterPort.POSTGRESQL)}",
            "redis": f"redis.{CHUTES_NAMESPACE}.svc:{int(ClusterPort.REDIS)}",
        },
        "packages": images.packages,
        **({"monitoring": monitoring_output(settings)} if settings.monitoring.enabled else {}),
    }

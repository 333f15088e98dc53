"""The settings of one fleet, as its stack file holds them. Defaults live here; plain values only, never a secret.

Keys are snake_case, units are in the names. Rules that need more than one field are in `infra.settings.rules`.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Network
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, StringConstraints, Tag, model_validator

from infra.settings.base import Ss58, Tree
from infra.settings.databases import DatabaseSettings
from infra.settings.gpu_runtime import GpuRuntimeSettings
from infra.settings.model_cache import ModelCacheOverride, ModelCacheSettings
from infra.settings.monitoring import MonitoringSettings
from infra.settings.programs import (
    DEFAULT_VALIDATORS,
    ApiSettings,
    AuditSettings,
    GepettoSettings,
    MonitorSettings,
    TrackerSettings,
    ValidatorSettings,
)
from infra.spec import BindMount, Registry, UserSpec
from infra.spec.model import AccountName, NodeName, PackageName, PublicKey, Sha256

Address = Annotated[str, StringConstraints(pattern=r"^\d{1,3}(\.\d{1,3}){3}$"), Field(examples=["203.0.113.7"])]
HostName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:-]+$"), Field(examples=["gpu-7.example.net"])]
HostKey = Annotated[PublicKey, Field(examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI..."])]


class NodeState(StrEnum):
    """`drained`: the machine stays, its workloads go. `dead`: it is gone; nothing tries to reach it."""

    ACTIVE = "active"
    DRAINED = "drained"
    DEAD = "dead"


class Delivery(StrEnum):
    """`airgap`: images travel as archives over SSH. `registry`: nodes pull them."""

    AIRGAP = "airgap"
    REGISTRY = "registry"


class SshSettings(Tree):
    """How a machine is reached over SSH."""

    host_key: HostKey = Field(description="Public host key of the machine, as ssh-keyscan prints it, without address.")
    host: HostName | None = Field(default=None, description="SSH address where it is not the machine's own address.")
    port: int = Field(default=22, ge=1, le=65535, examples=[22])
    user: AccountName = Field(default="root", examples=["root"])
    connect_timeout_seconds: int = Field(default=10, ge=1, le=120, examples=[10])


class NodeSettings(Tree):
    """What every machine has."""

    name: NodeName = Field(description="Node = cluster = server = context name; never changes.", examples=["gpu-7"])
    address: Address = Field(description="Public IPv4 address, for ingress and egress.")


class ControlSettings(NodeSettings):
    """The machine without GPUs that runs databases, miner API, monitor and Gepetto."""

    ssh: SshSettings
    cores: int = Field(ge=1, examples=[8])
    ram_gib: int = Field(ge=1, examples=[64])
    storage: tuple[BindMount, ...] = ()


class GpuNodeSettings(NodeSettings):
    """What GPU nodes of both kinds declare."""

    gpu: str = Field(description="Short reference of the GPU model.", examples=["h100_sxm"])
    gpu_count: int = Field(ge=1, le=16, examples=[8])
    hourly_cost_usd: float = Field(gt=0, description="What the whole machine costs an hour.", examples=[2.1])
    state: NodeState = Field(default=NodeState.ACTIVE, examples=["active"])
    model_cache: ModelCacheOverride = ModelCacheOverride()


class BareGpuNode(GpuNodeSettings):
    """A machine that we own: host, k3s, agent."""

    kind: Literal["bare"] = "bare"
    ssh: SshSettings
    ram_gib: int = Field(ge=1, examples=[1024])
    storage: tuple[BindMount, ...] = Field(default=(), description="Bind mounts; the model cache is under /var/snap.")
    fabric_manager: bool = Field(default=False, description="NVSwitch machines (HGX) need it.")
    simulated_gpus: bool = Field(default=False, description="Only where allowances.simulated_gpus is true.")
    registry_token_rotation: int = Field(default=1, ge=1, examples=[1])


class TeeGpuNode(GpuNodeSettings):
    """A confidential VM: never entered, only observed, registered and filled."""

    kind: Literal["tee"]


def _kind(value: Any) -> str:
    """`bare` where nothing is said."""
    kind = value.get("kind", "bare") if isinstance(value, dict) else getattr(value, "kind", "bare")
    return str(kind)


GpuNode = Annotated[Annotated[BareGpuNode, Tag("bare")] | Annotated[TeeGpuNode, Tag("tee")], Discriminator(_kind)]


class MinerSettings(Tree):
    """Who mines."""

    hotkey_ss58: Ss58
    netuid: int = Field(default=64, ge=0, examples=[64])


class AccessSettings(Tree):
    """Who may log in, and from where."""

    operator_networks: tuple[IPv4Network, ...] = Field(
        default=(IPv4Network("0.0.0.0/0"),), examples=["198.51.100.0/24"]
    )
    users: tuple[UserSpec, ...] = ()


class MachineSettings(Tree):
    """What every machine of ours has, and what Headframe manages on it."""

    packages: tuple[PackageName, ...] = Field(default=("ca-certificates", "curl", "jq"), examples=["jq"])
    time: bool = Field(default=True, description="Set time zone and time servers.", examples=[False])
    timezone: str = Field(default="UTC", examples=["UTC"])
    ntp_servers: tuple[str, ...] = Field(default=(), examples=["ntp.example.net"])
    kernel: bool = Field(default=True, description="Set sysctl, modules, limits; swap off.", examples=[False])
    firewall: bool = Field(default=True, description="Open the fleet's ports only.", examples=[False])
    unattended_upgrades_off: bool = Field(default=True, examples=[True])
    drain_seconds: int = Field(
        default=300,
        ge=0,
        le=3600,
        description="Jobs may finish so long before a disruptive change ends them; other chutes end at once.",
    )


class RegistryLoginSettings(Tree):
    """Login of one registry; its password is the secret `registry_password`."""

    registry: str = Field(min_length=1, examples=["docker.io"])
    username: str = Field(min_length=1, examples=["miner"])


class KubernetesSettings(Tree):
    """The Kubernetes of every machine of ours."""

    version: str = Field(pattern=r"^v\d+\.\d+\.\d+[-+.0-9A-Za-z]*$", examples=["v1.33.4+k3s1"])
    source: str = Field(
        pattern=r"^(https://[^\s]+|file:///[^\s]+)$",
        description="Where the binary comes from; a file:/// path lies on the host itself.",
        examples=["https://github.com/k3s-io/k3s/releases/download/v1.33.4%2Bk3s1/k3s"],
    )
    sha256: Sha256 | None = Field(default=None, description="Needed for downloads.", examples=["0" * 64])
    registries: tuple[Registry, ...] = ()
    registry_login: RegistryLoginSettings | None = None
    preloaded_images: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _downloads_are_checked(self) -> Self:
        if self.source.startswith("https://") and self.sha256 is None:
            raise ValueError("a download needs kubernetes.sha256, from the release's checksum file")
        return self


class ImageSettings(Tree):
    """How our images are made and reach the machines."""

    delivery: Delivery = Field(default=Delivery.AIRGAP, examples=["airgap"])
    registry: str = Field(
        default="headframe.local", pattern=r"^[a-z0-9.-]+(:\d+)?(/[a-z0-9._/-]+)?$", examples=["r.example.net/miner"]
    )
    mirror: str | None = Field(
        default=None,
        description="Debian mirror; default: this machine's own apt sources.",
        examples=["https://deb.debian.org/debian"],
    )
    base_digest: str | None = Field(
        default=None,
        pattern=r"^sha256:[0-9a-f]{64}$",
        description="Content of the base image that alone is accepted; stack output packages.base.digest names it.",
        examples=["sha256:" + "0" * 64],
    )


class BackupSettings(Tree):
    """Where dumps of PostgreSQL go: a folder on another machine, over SFTP. Its key is `backup_private_key`."""

    host: HostName
    port: int = Field(default=22, ge=1, le=65535, examples=[22])
    user: AccountName = Field(examples=["backup"])
    host_key: HostKey
    folder: str = Field(default="headframe", pattern=r"^[A-Za-z0-9._/-]+$", examples=["headframe"])
    schedule: str = Field(
        default="17 * * * *",
        pattern=r"^\S+( \S+){4}$",
        description="As cron writes it, in UTC.",
        examples=["17 * * * *"],
    )
    keep: int = Field(default=48, ge=1, description="How many dumps stay.", examples=[48])
    scratch_gib: int = Field(default=10, ge=1, description="Space for one dump and its copy.", examples=[10])


class AllowanceSettings(Tree):
    """What this stack permits itself beyond production. Each names what would stop a preview otherwise."""

    networks: tuple[IPv4Network, ...] = Field(default=(), examples=["198.18.0.0/24"])
    simulated_gpus: bool = Field(default=False, examples=[True])
    small_control_host: bool = Field(default=False, examples=[True])
    operating_systems: tuple[str, ...] = Field(default=(), examples=["debian 12"])
    var_snap_minimum_gib: int | None = Field(default=None, ge=0, examples=[1])
    var_snap_anywhere: bool = Field(
        default=False, description="Also on an overlay, in memory or over the network.", examples=[True]
    )
    unprotected_data: bool = Field(default=False, examples=[True])


class FleetSettings(Tree):
    """One fleet. Every field is one top-level key of the stack file, under `headframe:`."""

    control: ControlSettings
    gpu_nodes: tuple[GpuNode, ...] = ()
    miner: MinerSettings
    access: AccessSettings = AccessSettings()
    machines: MachineSettings = MachineSettings()
    kubernetes: KubernetesSettings
    images: ImageSettings = ImageSettings()
    database: DatabaseSettings = DatabaseSettings()
    backup: BackupSettings | None = None
    gpu_runtime: GpuRuntimeSettings
    model_cache: ModelCacheSettings = ModelCacheSettings()
    validators: tuple[ValidatorSettings, ...] = Field(default=DEFAULT_VALIDATORS, min_length=1)
    api: ApiSettings = ApiSettings()
    gepetto: GepettoSettings = GepettoSettings()
    monitor: MonitorSettings = MonitorSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    tracker: TrackerSettings = TrackerSettings()
    audit: AuditSettings = AuditSettings()
    allowances: AllowanceSettings = AllowanceSettings()
    refresh_hosts: bool = Field(
        default=True,
        description="Look at every machine before each preview and update. Off: drift stays unseen.",
        examples=[False],
    )

    @property
    def bare_nodes(self) -> tuple[BareGpuNode, ...]:
        """GPU nodes that have a Host, by name: the order in the file means nothing."""
        return tuple(
            sorted((node for node in self.gpu_nodes if isinstance(node, BareGpuNode)), key=lambda node: node.name)
        )

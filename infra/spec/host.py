"""`HostSpec`: everything that one machine shall be. It goes to the runner as JSON on stdin, secrets included."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from infra.spec.access import UserSpec
from infra.spec.base import BaseSpec
from infra.spec.gpu import NvidiaSpec
from infra.spec.k3s import ImageArchive, K3sSpec, RegistryCredential
from infra.spec.lease import LeaseSpec
from infra.spec.model import AccountName, Model, NodeName, PublicKey, Secret
from infra.spec.network import EchoSpec, FirewallSpec, KernelSpec
from infra.spec.storage import BindMount
from infra.spec.tools import ClusterAccess, HostScope


class HostRole(StrEnum):
    CONTROL = "control"
    GPU = "gpu"


class HostKind(StrEnum):
    """Only `bare` has a Host resource; `tee` machines cannot be entered (D14) and never get one."""

    BARE = "bare"


class HostState(StrEnum):
    """`drained` says that the operator has taken the machine out: it may be dead, and that fails nobody's run."""

    ACTIVE = "active"
    DRAINED = "drained"


class OnDelete(StrEnum):
    """What leaving the fleet does to the machine."""

    STOP = "stop"  # end Kubernetes, remove our secrets; data stays
    FORGET = "forget"  # touch nothing: for machines that are dead or sold
    WIPE = "wipe"  # stop, and remove Kubernetes with its data


class JudgedBy(Model):
    """What rules over observed machines need to know of the stack. A declaration without it is not judged by them."""

    operating_systems: tuple[str, ...] = ()
    small_control_host: bool = False
    simulated_gpus: bool = False
    var_snap_minimum_gib: int | None = None
    var_snap_anywhere: bool = False


class HostDeclaration(Model):
    """The plain part of a host: known when the program runs, never secret."""

    name: NodeName
    #: SSH address.
    host: str = Field(min_length=1, pattern=r"^[A-Za-z0-9.:-]+$")
    port: int = Field(default=22, ge=1, le=65535)
    user: AccountName = "root"
    #: The machine's public host key as `ssh-keyscan` prints it, without the address: `ssh-ed25519 AAAA...`.
    host_key: PublicKey
    role: HostRole
    kind: HostKind = HostKind.BARE
    scope: HostScope = HostScope.MACHINE
    state: HostState = HostState.ACTIVE
    on_delete: OnDelete = OnDelete.STOP
    connect_timeout_seconds: int = Field(default=10, ge=1, le=120)
    #: Sets the machine's name to the node name.
    manage_hostname: bool = True
    base: BaseSpec = BaseSpec()
    users: tuple[UserSpec, ...] = ()
    kernel: KernelSpec = KernelSpec()
    storage: tuple[BindMount, ...] = ()
    firewall: FirewallSpec | None = None
    nvidia: NvidiaSpec | None = None
    k3s: K3sSpec | None = None
    judged_by: JudgedBy | None = None
    echo: EchoSpec | None = None
    #: Needed where more than one machine may be disrupted by the same run.
    lease: LeaseSpec | None = None

    @property
    def public_address(self) -> str:
        """Address under which others reach the machine and its cluster."""
        external = self.k3s.external_ip if self.k3s else None
        return str(external) if external else self.host


class HostSpec(HostDeclaration):
    """The declaration with what only exists while a deployment runs: secrets and built images."""

    private_key: Secret
    registry_credentials: tuple[RegistryCredential, ...] = ()
    images: tuple[ImageArchive, ...] = ()
    #: For scope `tools`.
    clusters: tuple[ClusterAccess, ...] = ()

    @model_validator(mode="after")
    def _images_need_a_cluster(self) -> Self:
        if self.k3s is None and (self.images or self.registry_credentials):
            raise ValueError("images and registry credentials need k3s: give the host k3s settings or drop them")
        return self

    @classmethod
    def from_json(cls, text: str | bytes) -> HostSpec:
        """Read the wire form.

        Raises:
            pydantic.ValidationError: one entry for each bad field.
        """
        return cls.model_validate_json(text)

    def to_json(self) -> str:
        """The wire form, secrets in plain: for the runner's stdin only."""
        return self.model_dump_json(by_alias=True, exclude_none=True)

"""The NVIDIA stack of a GPU machine (spec: infra 4.3)."""

from __future__ import annotations

from pydantic import Field

from infra.spec.model import Model


class AptRepository(Model):
    """A package source whose signing key is part of the declaration, so that nothing unverified is ever fetched."""

    name: str = Field(pattern=r"^[a-z0-9-]+$")
    #: One-line form without `deb` and options, for example `https://host/path ./`.
    source: str = Field(pattern=r"^https://[^\s]+( [^\s]+)+$")
    #: Armoured OpenPGP public key.
    signing_key: str = Field(pattern=r"^-----BEGIN PGP PUBLIC KEY BLOCK-----")


class NvidiaSpec(Model):
    """Driver, fabric manager and container toolkit, each pinned to the full version that apt knows.

    On simulated GPUs nothing of this is installed, and the plan says why.
    """

    #: For example `580.95.05`; driver and fabric manager must agree in it.
    driver_version: str = Field(pattern=r"^\d+\.\d+(\.\d+)?$")
    toolkit_version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    #: NVSwitch machines (HGX) need it; PCIe machines do not.
    fabric_manager: bool = False
    infiniband: bool = False
    #: Where driver and toolkit come from; NVIDIA's own sources where the system's have no toolkit.
    repositories: tuple[AptRepository, ...] = ()
    simulated: bool = False

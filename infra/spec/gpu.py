"""The NVIDIA stack of a GPU machine (spec: infra 4.3)."""

from __future__ import annotations

from pydantic import Field

from infra.spec.model import Model


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
    simulated: bool = False

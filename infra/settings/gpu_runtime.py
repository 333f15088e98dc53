"""Settings of what makes GPUs schedulable: chart, driver, container toolkit."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from infra.settings.base import Tree
from infra.spec.model import Sha256


class GpuRuntimeSettings(Tree):
    """The Helm chart that makes GPUs schedulable: NVIDIA's operator, or a chart folder."""

    chart: str = Field(description="Chart name, or a folder relative to the project.", examples=["gpu-operator"])
    repository: str | None = Field(
        default=None, description="Absent for a folder.", examples=["https://helm.ngc.nvidia.com/nvidia"]
    )
    version: str | None = Field(default=None, description="Needed with a repository.", examples=["v25.3.4"])
    digest: Sha256 | None = Field(
        default=None,
        description="SHA-256 of the packaged chart, needed with a repository: helm pull, then sha256sum.",
        examples=["0" * 64],
    )
    namespace: str = Field(default="gpu-operator", examples=["gpu-operator"])
    values: dict[str, Any] = Field(default_factory=dict, description="Chart values. Never a secret: Helm keeps them.")
    driver_version: str | None = Field(default=None, pattern=r"^\d+\.\d+(\.\d+)?$", examples=["580.95.05"])
    toolkit_version: str | None = Field(default=None, pattern=r"^\d+\.\d+\.\d+$", examples=["1.17.8"])

    @model_validator(mode="after")
    def _repository_is_pinned(self) -> Self:
        if self.repository is not None and (self.version is None or self.digest is None):
            raise ValueError("a chart from a repository needs gpu_runtime.version and gpu_runtime.digest")
        return self

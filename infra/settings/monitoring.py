"""Settings of monitoring: Prometheus and node exporter on every machine of ours, Grafana on the control host."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, StringConstraints

from infra.settings.base import Tree

PinnedImage = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9./:_-]*@sha256:[0-9a-f]{64}$")]
_DIGEST: Final = "@sha256:" + "0" * 64


class GrafanaSettings(Tree):
    """Grafana of the control host. Its administrator's password is the secret `grafana_password`."""

    image: PinnedImage = Field(
        description="Public image, pinned by digest; the control host pulls it.",
        examples=[f"docker.io/grafana/grafana{_DIGEST}"],
    )
    password_rotation: int = Field(
        default=1, ge=1, description="Raise it after a change of `grafana_password`: Grafana starts anew.", examples=[1]
    )
    memory_mib: int = Field(default=512, ge=128, examples=[512])


class MonitoringSettings(Tree):
    """What is measured, how long it is kept, and what that may use."""

    enabled: bool = Field(default=True, examples=[False])
    retention_days: int = Field(default=15, ge=1, description="On the control host.", examples=[15])
    storage_gib: int = Field(default=10, ge=2, description="On the control host.", examples=[10])
    memory_mib: int = Field(default=1024, ge=256, description="Prometheus of the control host.", examples=[1024])
    node_retention_hours: int = Field(default=24, ge=2, description="On GPU nodes; lost with the pod.", examples=[24])
    node_storage_gib: int = Field(default=4, ge=2, description="On GPU nodes.", examples=[4])
    node_memory_mib: int = Field(default=512, ge=256, description="Prometheus of a GPU node.", examples=[512])
    prometheus_image: PinnedImage | None = Field(
        default=None,
        description="Public Prometheus, pinned by digest; machines pull it. Absent: Debian's, which is built without "
        "Kubernetes and so asks no chute, no GPU exporter and no kubelet.",
        examples=[f"docker.io/prom/prometheus{_DIGEST}"],
    )
    grafana: GrafanaSettings | None = Field(default=None, description="Absent: no Grafana.")

    def public_prometheus_in(self, *, lab: bool) -> str | None:
        """The public image that runs in place of Debian's: none in a lab, which pulls no public image."""
        return None if lab else self.prometheus_image

    def grafana_in(self, *, lab: bool) -> GrafanaSettings | None:
        """The Grafana that is declared: none in a lab, which pulls no public image."""
        return self.grafana if self.enabled and not lab else None

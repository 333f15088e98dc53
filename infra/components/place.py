"""Where programs run: a cluster, the machine under it, and the images that are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pulumi

from app.protocol.labels import CHUTES_NAMESPACE
from infra.components.cluster import K3sCluster
from infra.components.images import ImageBuild
from infra.images.names import ImageName, NodeRole, images_for
from infra.resources.host import Host
from infra.settings.tree import Delivery, FleetSettings


@dataclass(frozen=True, kw_only=True)
class Place:
    """One machine's cluster with its images. Images that travel as archives are never pulled."""

    cluster: K3sCluster
    host: Host
    node_name: str
    address: str
    images: Mapping[str, ImageBuild]
    delivery: Delivery
    namespace: str = CHUTES_NAMESPACE
    #: The namespace itself, where it is not the fleet's.
    own_namespace: pulumi.Resource | None = None

    def within(self, namespace: str, resource: pulumi.Resource) -> Place:
        """The same machine, another namespace."""
        return replace(self, namespace=namespace, own_namespace=resource)

    @property
    def namespace_ready(self) -> pulumi.Resource:
        """What everything in the namespace waits for."""
        return self.own_namespace or self.cluster.namespace

    @property
    def pull_policy(self) -> str:
        """Of every container of ours."""
        return "Never" if self.delivery is Delivery.AIRGAP else "IfNotPresent"

    def reference(self, image: ImageName) -> str:
        """Full reference of an image, pinned by its inputs."""
        return self.images[image].reference

    def builds(self, image: ImageName) -> list[pulumi.Resource]:
        """What a program must wait for: a pulled image is built first; an archive is the machine's own business."""
        return [] if self.delivery is Delivery.AIRGAP else [self.images[image].build]


def delivered(role: NodeRole, settings: FleetSettings, images: Mapping[str, ImageBuild]) -> list[ImageBuild]:
    """The images that a machine of this role is given as archives; none where it pulls them."""
    if settings.images.delivery is not Delivery.AIRGAP:
        return []
    held = images_for(role, lab=settings.allowances.simulated_gpus, monitoring=settings.monitoring.enabled)
    return [images[name] for name in held]

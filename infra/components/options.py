"""Resource options of children, written in one place: parent, provider, and what a dead machine takes with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pulumi
import pulumi_kubernetes as kubernetes

#: Seconds matter less than reasons: drivers and a reboot; images over SSH; a chart that waits for its pods.
HOST_CREATE: Final = "45m"
RELEASE: Final = "20m"
WORKLOAD: Final = "5m"
#: The miner API gives one bootstrap 15 minutes; an agent may just be starting.
REGISTRATION: Final = "20m"


def child(
    parent: pulumi.Resource,
    *,
    depends_on: Sequence[pulumi.Resource] = (),
    timeout: str | None = None,
) -> pulumi.ResourceOptions:
    """Options of a resource that lives on no cluster."""
    return pulumi.ResourceOptions(parent=parent, depends_on=list(depends_on), custom_timeouts=_timeouts(timeout))


def on_cluster(
    parent: pulumi.Resource,
    provider: kubernetes.Provider,
    host: pulumi.Resource,
    *,
    depends_on: Sequence[pulumi.Resource] = (),
    protect: bool = False,
    timeout: str | None = WORKLOAD,
) -> pulumi.ResourceOptions:
    """Options of a Kubernetes object: its cluster by name, and gone without a call when its host goes (D6, D7)."""
    return pulumi.ResourceOptions(
        parent=parent,
        provider=provider,
        deleted_with=host,
        depends_on=list(depends_on),
        protect=protect,
        custom_timeouts=_timeouts(timeout),
    )


def _timeouts(timeout: str | None) -> pulumi.CustomTimeouts | None:
    return None if timeout is None else pulumi.CustomTimeouts(create=timeout, update=timeout, delete=timeout)

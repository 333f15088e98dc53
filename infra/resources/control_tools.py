"""`ControlTools`: merged kubeconfig and tools on the control host, apart from its `Host`, which waits for nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pulumi

from infra.spec import HostDeclaration, HostScope, OnDelete

TYPE: Final = "headframe:index:ControlTools"


class ControlTools(pulumi.CustomResource):
    """Operators' tools.

    Args of the constructor:
        control: the control host's declaration; only how to reach it is used.
        kubeconfigs: node name -> secret kubeconfig output of its Host.
    """

    drift: pulumi.Output[list[str]]
    reachable: pulumi.Output[bool]

    def __init__(
        self,
        name: str,
        *,
        control: HostDeclaration,
        private_key: pulumi.Input[str],
        kubeconfigs: Mapping[str, pulumi.Input[str]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        reach = control.model_dump(
            mode="json", by_alias=True, include={"name", "host", "port", "user", "host_key", "role"}
        )
        clusters = [
            {"name": node, "kubeconfig": pulumi.Output.secret(kubeconfig)}
            for node, kubeconfig in sorted(kubeconfigs.items())
        ]
        inputs: dict[str, Any] = {
            **reach,
            "scope": HostScope.TOOLS.value,
            "onDelete": OnDelete.STOP.value,
            "privateKey": pulumi.Output.secret(private_key),
            "clusters": clusters,
            **dict.fromkeys(("kubeconfig", "facts", "drift", "reachable", "machineId", "deployDigest")),
        }
        own = pulumi.ResourceOptions(additional_secret_outputs=["privateKey", "clusters"])
        super().__init__(TYPE, name, inputs, pulumi.ResourceOptions.merge(own, opts))

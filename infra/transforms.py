"""What every Kubernetes object of the stack gets: common labels; and the rules that look at objects (D8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pulumi

from infra.settings import FleetSettings
from policies.rules.kubernetes import KubernetesObject, check_object
from policies.rules.model import Level

MANAGED_BY: Final = {"app.kubernetes.io/managed-by": "headframe"}
_KUBERNETES: Final = "kubernetes:"
#: Types whose inputs are no Kubernetes object.
_NO_OBJECT: Final = ("kubernetes:helm.sh/", "pulumi:")


def register_transforms(settings: FleetSettings) -> None:
    """Labels first, then the rules; registered once, before anything is declared."""
    unprotected = settings.allowances.unprotected_data

    def apply(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult | None:
        if not args.type_.startswith(_KUBERNETES):
            return None
        judge(args, unprotected_data=unprotected)
        return pulumi.ResourceTransformResult(props=labelled(args.type_, args.props), opts=args.opts)

    pulumi.runtime.register_resource_transform(apply)


def judge(args: pulumi.ResourceTransformArgs, *, unprotected_data: bool) -> None:
    """Stop the run at an object that breaks a mandatory rule.

    Raises:
        pulumi.RunError: with every finding.
    """
    provider = args.opts.provider
    seen = KubernetesObject(
        type=args.type_,
        name=args.name,
        properties=args.props,
        provider=None if provider is None else "explicit",
        protected=bool(args.opts.protect),
    )
    broken = [
        finding for finding in check_object(seen, unprotected_data=unprotected_data) if finding.level is Level.MANDATORY
    ]
    if broken:
        raise pulumi.RunError("; ".join(str(finding) for finding in broken))


def labelled(type_: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """The properties with the common labels; labels of the object itself win."""
    metadata = properties.get("metadata")
    if type_.startswith(_NO_OBJECT) or not isinstance(metadata, Mapping):
        return dict(properties)
    labels = metadata.get("labels")
    own = labels if isinstance(labels, Mapping) else {}
    return {**properties, "metadata": {**metadata, "labels": {**MANAGED_BY, **own}}}

"""`Host`: one machine, made to be what its declaration says. The work is done by `infra.provider` and `infra.hosts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pulumi

from infra.spec import HostDeclaration

TYPE: Final = "headframe:index:Host"
_OUTPUTS: Final = ("kubeconfig", "facts", "drift", "reachable", "machineId", "deployDigest")


@dataclass(frozen=True, kw_only=True)
class RegistryLogin:
    """Login for one registry of `declared.k3s.registries`."""

    registry: str
    username: pulumi.Input[str]
    password: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class ImageArchiveInput:
    """An image archive to import; its path may come from the resource that builds it."""

    reference: pulumi.Input[str]
    path: pulumi.Input[str]
    sha256: pulumi.Input[str] | None = None


@dataclass(frozen=True, kw_only=True)
class HostArgs:
    """A validated declaration and what only other resources or the configuration can give."""

    declared: HostDeclaration
    #: OpenSSH private key. Made secret here, so that it never lies in plain in the state.
    private_key: pulumi.Input[str]
    registry_logins: Sequence[RegistryLogin] = ()
    images: Sequence[ImageArchiveInput] = ()


class Host(pulumi.CustomResource):
    """A machine of the fleet.

    Outputs:
        kubeconfig: secret; server = public address, one context named like the node. Empty without k3s.
        facts: what was observed on the machine (`infra.spec.HostFacts`, camelCase).
        drift: names of the operations whose wish the machine did not meet when it was last read; [] after an update.
        reachable: False when the last read could not connect; everything else is then what was known before.
        machineId: identity of the machine; another one under the same address means a replacement.
    """

    kubeconfig: pulumi.Output[str]
    facts: pulumi.Output[dict[str, Any]]
    drift: pulumi.Output[list[str]]
    reachable: pulumi.Output[bool]

    def __init__(self, name: str, args: HostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        own = pulumi.ResourceOptions(additional_secret_outputs=["kubeconfig", "privateKey"])
        super().__init__(TYPE, name, _inputs(args), pulumi.ResourceOptions.merge(own, opts))


def _inputs(args: HostArgs) -> Mapping[str, Any]:
    declared = args.declared.model_dump(mode="json", by_alias=True, exclude_none=True)
    logins = [
        {"registry": login.registry, "username": login.username, "password": pulumi.Output.secret(login.password)}
        for login in args.registry_logins
    ]
    images = [
        {
            "reference": image.reference,
            "path": image.path,
            **({"sha256": image.sha256} if image.sha256 is not None else {}),
        }
        for image in args.images
    ]
    given = {
        **declared,
        "privateKey": pulumi.Output.secret(args.private_key),
        "registryCredentials": logins,
        "images": images,
    }
    return {**given, **dict.fromkeys(_OUTPUTS)}

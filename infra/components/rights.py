"""What a program may do at its cluster's API, bound to its account: Roles where it acts, nothing elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.rbac.v1 import PolicyRuleArgs, RoleRefArgs, SubjectArgs

from app.protocol.labels import CHUTES_NAMESPACE

GROUP: Final = "rbac.authorization.k8s.io"
#: Kubernetes looks at no name in these.
_BY_NO_NAME: Final = frozenset({"create", "list", "watch", "deletecollection"})


@dataclass(frozen=True, kw_only=True)
class Rule:
    """These verbs on these resources of one API group; where `names` are given, on objects of these names alone.

    Secrets are granted by name, always.
    """

    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    group: str = ""
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if "secrets" in self.resources and (not self.names or set(self.verbs) & _BY_NO_NAME):
            raise ValueError(f"secrets are granted by name, {self.verbs} of names {self.names} is no such right")

    def arguments(self) -> PolicyRuleArgs:
        """As the Kubernetes provider takes it."""
        return PolicyRuleArgs(
            api_groups=[self.group],
            resources=list(self.resources),
            verbs=list(self.verbs),
            resource_names=list(self.names) or None,
        )


@dataclass(frozen=True, kw_only=True)
class Rights:
    """Rules in the program's own namespace, in other ones by name, and over the cluster."""

    rules: tuple[Rule, ...] = ()
    elsewhere: tuple[tuple[str, tuple[Rule, ...]], ...] = ()
    cluster_wide: tuple[Rule, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Account:
    name: str
    namespace: str

    def subject(self) -> SubjectArgs:
        return SubjectArgs(kind="ServiceAccount", name=self.name, namespace=self.namespace)


def bind(
    name: str, account: str, rights: Rights, options: pulumi.ResourceOptions, home: str = CHUTES_NAMESPACE
) -> list[pulumi.Resource]:
    """Roles and bindings of one account of the namespace `home`."""
    made: list[pulumi.Resource] = []
    holder = _Account(name=account, namespace=home)
    for namespace, rules in ((home, rights.rules), *rights.elsewhere):
        if rules:
            title = name if namespace == home else f"{name}-{namespace}"
            made += _in_namespace(title, holder, namespace, rules, options)
    if rights.cluster_wide:
        made += _over_the_cluster(name, holder, rights.cluster_wide, options)
    return made


def _in_namespace(
    name: str, account: _Account, namespace: str, rules: Sequence[Rule], options: pulumi.ResourceOptions
) -> list[pulumi.Resource]:
    role = kubernetes.rbac.v1.Role(
        name,
        metadata={"name": account.name, "namespace": namespace},
        rules=[rule.arguments() for rule in rules],
        opts=options,
    )
    binding = kubernetes.rbac.v1.RoleBinding(
        name,
        metadata={"name": account.name, "namespace": namespace},
        role_ref=RoleRefArgs(api_group=GROUP, kind="Role", name=account.name),
        subjects=[account.subject()],
        opts=options,
    )
    return [role, binding]


def _over_the_cluster(
    name: str, account: _Account, rules: Sequence[Rule], options: pulumi.ResourceOptions
) -> list[pulumi.Resource]:
    title = f"headframe-{account.name}"
    role = kubernetes.rbac.v1.ClusterRole(
        name, metadata={"name": title}, rules=[rule.arguments() for rule in rules], opts=options
    )
    binding = kubernetes.rbac.v1.ClusterRoleBinding(
        name,
        metadata={"name": title},
        role_ref=RoleRefArgs(api_group=GROUP, kind="ClusterRole", name=title),
        subjects=[account.subject()],
        opts=options,
    )
    return [role, binding]

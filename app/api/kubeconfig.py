"""Kubeconfigs from outside, cut down to the fields that are needed (spec: protocol 3.4, 5.1, 23.2).

Raw text never reaches a Kubernetes client: exec and auth-provider entries run commands.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import yaml
from pydantic import ConfigDict, Field, ValidationError

from app.protocol import labels
from app.protocol.ports import HostPort
from app.protocol.wire import WireModel


class KubeconfigError(ValueError):
    """A kubeconfig that cannot be used; the message says why and never shows a credential."""


class _Named(WireModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    name: str


class ClusterFields(WireModel):
    """Where an API server is and how it proves itself."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    server: str
    certificate_authority_data: str | None = Field(default=None, alias="certificate-authority-data")
    insecure_skip_tls_verify: bool | None = Field(default=None, alias="insecure-skip-tls-verify")


class UserFields(WireModel):
    """Credentials, of the kinds that need no program to run."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    token: str | None = Field(default=None, repr=False)
    client_certificate_data: str | None = Field(default=None, alias="client-certificate-data", repr=False)
    client_key_data: str | None = Field(default=None, alias="client-key-data", repr=False)
    username: str | None = None
    password: str | None = Field(default=None, repr=False)


class ContextFields(WireModel):
    """Which cluster by which user."""

    cluster: str
    user: str
    namespace: str | None = None


class Cluster(_Named):
    cluster: ClusterFields


class User(_Named):
    user: UserFields


class Context(_Named):
    context: ContextFields


class Kubeconfig(WireModel):
    """The parts of a kubeconfig that we keep."""

    clusters: tuple[Cluster, ...] = ()
    users: tuple[User, ...] = ()
    contexts: tuple[Context, ...] = ()

    def access(self, context_name: str) -> tuple[ClusterFields, UserFields]:
        """Address and credentials of one context.

        Raises:
            KubeconfigError: the context or what it names is absent.
        """
        context = next((c.context for c in self.contexts if c.name == context_name), None)
        if context is None:
            found = sorted(c.name for c in self.contexts)
            raise KubeconfigError(f"the kubeconfig has no context {context_name!r}; it has {found}")
        cluster = next((c.cluster for c in self.clusters if c.name == context.cluster), None)
        user = next((u.user for u in self.users if u.name == context.user), None)
        if cluster is None or user is None:
            raise KubeconfigError(f"context {context_name!r} names a cluster or a user that the kubeconfig lacks")
        return cluster, user

    def dump(self) -> dict[str, object]:
        """As JSON fields, with the names of the format."""
        return self.model_dump(by_alias=True, exclude_none=True, mode="json")


def parse(text: str) -> Kubeconfig:
    """Read YAML or JSON.

    Raises:
        KubeconfigError: it is neither, or not a kubeconfig.
    """
    try:
        return Kubeconfig.model_validate(yaml.safe_load(text) or {})
    except yaml.YAMLError as error:
        raise KubeconfigError("the kubeconfig is not YAML") from error
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
        raise KubeconfigError(f"the kubeconfig is not as the format wants it at {where}") from error


def tls_warning(cluster: ClusterFields) -> str | None:
    """A warning where the API server need not prove itself."""
    return "the kubeconfig switches TLS verification off" if cluster.insecure_skip_tls_verify else None


CONTROL_PORT: Final = int(HostPort.KUBERNETES_API)


def control_entry(name: str, external_ip: str, token_file: Path, ca_file: Path) -> Kubeconfig:
    """The control cluster's own entry, from the mounted service account.

    Raises:
        OSError: the files are not there.
    """
    cluster = ClusterFields(
        server=f"https://{external_ip}:{CONTROL_PORT}",
        certificate_authority_data=b64encode(ca_file.read_bytes()).decode(),
    )
    return Kubeconfig(
        clusters=(Cluster(name=name, cluster=cluster),),
        users=(User(name=name, user=UserFields(token=token_file.read_text().strip())),),
        contexts=(Context(name=name, context=ContextFields(cluster=name, user=name)),),
    )


def merge(parts: Iterable[Kubeconfig], current: str | None) -> dict[str, object]:
    """One kubeconfig of all parts; every context in namespace `chutes`."""
    clusters: list[dict[str, object]] = []
    users: list[dict[str, object]] = []
    contexts: list[dict[str, object]] = []
    for part in parts:
        clusters += [c.model_dump(by_alias=True, exclude_none=True) for c in part.clusters]
        users += [u.model_dump(by_alias=True, exclude_none=True) for u in part.users]
        for context in part.contexts:
            placed = context.context.model_copy(update={"namespace": labels.CHUTES_NAMESPACE})
            contexts.append({"name": context.name, "context": placed.model_dump(exclude_none=True)})
    merged: dict[str, object] = {
        "apiVersion": "v1", "kind": "Config", "clusters": clusters, "users": users, "contexts": contexts,
    }  # fmt: skip
    return merged | ({"current-context": current} if current else {"current-context": ""})

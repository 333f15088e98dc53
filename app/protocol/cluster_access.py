"""Access to a Kubernetes API: a kubeconfig read strictly, and an HTTP client made from it.

Only static credentials are taken. A kubeconfig may come from a machine that is not ours: one that names a command to
run (`exec`, `auth-provider`) or, unless the caller allows it, a file to read is refused, never followed. Nothing falls
back to `~/.kube/config`, nor to an environment that the caller did not pass in.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

_SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_CONNECT_TIMEOUT_SECONDS: Final = 5.0
_READ_TIMEOUT_SECONDS: Final = 30.0


class KubeconfigError(ValueError):
    """A kubeconfig that cannot be used; the message names the place and never repeats a value."""


@dataclass(frozen=True)
class ClusterAccess:
    """Where an API server is and how to speak to it. Secrets show in no repr."""

    context: str
    server: str
    certificate_authority: bytes | None = field(default=None, repr=False)
    client_certificate: bytes | None = field(default=None, repr=False)
    client_key: bytes | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    skip_tls_verify: bool = False


def parse_kubeconfig(text: str, context: str | None = None, *, allow_files: bool = False) -> ClusterAccess:
    """Read one context of a kubeconfig, YAML or JSON.

    Args:
        context: its name; None takes the current one.
        allow_files: whether it may name files of this machine: only for the operator's own.

    Raises:
        KubeconfigError: not a kubeconfig, no such context, or credentials of a kind that is not taken.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        raise KubeconfigError("the kubeconfig is not YAML") from None
    if not isinstance(document, dict):
        raise KubeconfigError("the kubeconfig is not a mapping")
    wanted = context or str(document.get("current-context") or "")
    bound = _named(document, "contexts", wanted, "context")
    cluster = _named(document, "clusters", str(bound.get("cluster")), "cluster")
    user = _named(document, "users", str(bound.get("user")), "user")
    refused = {"exec", "auth-provider"} & set(user)
    if refused:
        raise KubeconfigError(f"user {bound.get('user')} uses {', '.join(refused)}; only static credentials are taken")
    server = cluster.get("server")
    if not isinstance(server, str) or not server.startswith(("https://", "http://")):
        raise KubeconfigError(f"cluster {bound.get('cluster')} has no server address")
    return ClusterAccess(
        context=wanted,
        server=server.rstrip("/"),
        certificate_authority=_content(cluster, "certificate-authority", allow_files),
        client_certificate=_content(user, "client-certificate", allow_files),
        client_key=_content(user, "client-key", allow_files),
        token=user.get("token"),
        skip_tls_verify=bool(cluster.get("insecure-skip-tls-verify")),
    )


def in_cluster_access(environment: Mapping[str, str], folder: Path = _SERVICE_ACCOUNT) -> ClusterAccess:
    """The access that Kubernetes gives to a pod.

    Raises:
        KubeconfigError: this is no pod, or it has no service account token.
    """
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise KubeconfigError("KUBERNETES_SERVICE_HOST is not set: this is no pod; set KUBECONFIG")
    try:
        token, authority = (folder / "token").read_text().strip(), (folder / "ca.crt").read_bytes()
    except OSError as error:
        raise KubeconfigError(f"the service account token cannot be read: {error.strerror}") from None
    address = f"[{host}]" if ":" in host else host
    return ClusterAccess("in-cluster", f"https://{address}:{port}", certificate_authority=authority, token=token)


def own_access(environment: Mapping[str, str]) -> ClusterAccess:
    """The access of a program that an operator or a node started: KUBECONFIG's where it is set, else its pod's.

    Raises:
        KubeconfigError: neither can be used.
        OSError: the file that KUBECONFIG names cannot be read.
    """
    kubeconfig = environment.get("KUBECONFIG")
    if kubeconfig:
        return parse_kubeconfig(Path(kubeconfig).read_text(), allow_files=True)
    return in_cluster_access(environment)


def open_client(access: ClusterAccess) -> httpx.AsyncClient:
    """A client of this API server, to be closed by the caller. It takes no proxy or setting from the environment."""
    headers = {"Authorization": f"Bearer {access.token}"} if access.token else {}
    timeout = httpx.Timeout(_READ_TIMEOUT_SECONDS, connect=_CONNECT_TIMEOUT_SECONDS)
    limits = httpx.Limits(max_connections=32)
    return httpx.AsyncClient(
        base_url=access.server,
        headers=headers,
        verify=_ssl_context(access),
        timeout=timeout,
        limits=limits,
        trust_env=False,
    )


def _ssl_context(access: ClusterAccess) -> ssl.SSLContext:
    authority = access.certificate_authority.decode() if access.certificate_authority else None
    context = ssl.create_default_context(cadata=authority)
    if access.skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if access.client_certificate and access.client_key:
        with _passing_file(access.client_certificate + b"\n" + access.client_key) as path:
            context.load_cert_chain(path)
    return context


@contextmanager
def _passing_file(content: bytes) -> Iterator[str]:
    """A file for a library that reads from files only: in memory alone where the system can, so that a key reaches no
    disk and a read-only container needs no folder; else one of mode 0600 that is gone with the block."""
    if not hasattr(os, "memfd_create"):
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            file.write(content)
            file.flush()
            yield file.name
        return
    with os.fdopen(os.memfd_create("client-key"), "wb", buffering=0) as memory:
        memory.write(content)
        yield f"/proc/self/fd/{memory.fileno()}"


def _named(document: Mapping[str, Any], section: str, name: str, inner: str) -> Mapping[str, Any]:
    entries = document.get(section)
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(inner), dict):
            found: Mapping[str, Any] = entry[inner]
            return found
    raise KubeconfigError(f"the kubeconfig has no {inner} named {name!r}")


def _content(part: Mapping[str, Any], name: str, allow_files: bool) -> bytes | None:
    data = part.get(f"{name}-data")
    if data:
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise KubeconfigError(f"{name}-data is not base64") from None
    if name not in part:
        return None
    if not allow_files:
        raise KubeconfigError(f"{name} names a file; only {name}-data is taken here")
    try:
        return Path(str(part[name])).read_bytes()
    except OSError as error:
        raise KubeconfigError(f"{name} cannot be read: {error.strerror}") from None

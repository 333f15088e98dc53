"""Which cluster a kubeconfig points to, and how to log in there. Pure but for reading the files that it names."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path

import yaml

from lab.engine.kubernetes.manifests import Manifest, items, pluck, text


class KubeconfigError(Exception):
    """The text is no usable kubeconfig."""


@dataclass(frozen=True)
class Access:
    """How to reach one API server.

    Attributes:
        server: URL of the API server.
        authority: PEM certificates that its own is checked against; empty takes the machine's.
        is_insecure: its certificate is not checked at all.
        token: bearer token; empty for none.
        certificate, key: PEM of the client's certificate; empty for none.
        namespace: where objects without a namespace go.
    """

    server: str
    authority: str
    is_insecure: bool
    token: str
    certificate: str
    key: str
    namespace: str

    def __repr__(self) -> str:
        return f"Access(server={self.server!r})"  # the rest holds secrets


def parse_kubeconfig(source: str) -> Manifest:
    """A kubeconfig from its text, or from the file that the text names.

    Raises:
        KubeconfigError: it is no kubeconfig, or the file cannot be read.
    """
    try:
        loaded = yaml.safe_load(Path(source).read_text() if source.startswith(("/", "~", "./")) else source)
    except (yaml.YAMLError, OSError) as error:
        raise KubeconfigError(f"the kubeconfig cannot be read: {type(error).__name__}") from None
    if not isinstance(loaded, dict) or not loaded.get("clusters"):
        raise KubeconfigError("the value of `kubeconfig` is no kubeconfig: a map with `clusters` is wanted")
    return loaded


def active_cluster(config: Manifest, context: str = "", cluster: str = "") -> Manifest | None:
    """The cluster entry that calls go to, or None if the kubeconfig names none.

    Two kubeconfigs with the same entry belong to the same cluster, whatever their users.
    """
    chosen = _entry(config, "contexts", context or text(config, "current-context"), "context")
    if chosen is None:
        return None
    return _entry(config, "clusters", cluster or text(chosen, "cluster"), "cluster")


def access_of(source: str, context: str = "", cluster: str = "") -> Access:
    """How to reach the active cluster of a kubeconfig.

    Raises:
        KubeconfigError: it is unusable, or logs in by a program, which the stand-in does not run.
    """
    config = parse_kubeconfig(source)
    entry = active_cluster(config, context, cluster)
    if entry is None or not text(entry, "server"):
        raise KubeconfigError("the kubeconfig has no current context with a cluster and its server")
    chosen = _entry(config, "contexts", context or text(config, "current-context"), "context") or {}
    user = _entry(config, "users", text(chosen, "user"), "user") or {}
    if "exec" in user or "auth-provider" in user:
        raise KubeconfigError("the kubeconfig logs in by a program; give a token or a client certificate")
    return Access(
        server=text(entry, "server").rstrip("/"),
        authority=_material(entry, "certificate-authority"),
        is_insecure=pluck(entry, "insecure-skip-tls-verify") is True,
        token=text(user, "token") or _file(text(user, "tokenFile")).strip(),
        certificate=_material(user, "client-certificate"),
        key=_material(user, "client-key"),
        namespace=text(chosen, "namespace") or "default",
    )


def _entry(config: Manifest, group: str, name: str, key: str) -> Manifest | None:
    for entry in items(config, group):
        found = pluck(entry, key)
        if text(entry, "name") == name and isinstance(found, dict):
            return found
    return None


def _material(entry: Manifest, name: str) -> str:
    """PEM text, given in place (base64) or as the name of a file."""
    coded = text(entry, f"{name}-data")
    if not coded:
        return _file(text(entry, name))
    try:
        return base64.b64decode("".join(coded.split()), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise KubeconfigError(f"`{name}-data` of the kubeconfig is no base64 of PEM text") from None


def _file(path: str) -> str:
    try:
        return Path(path).read_text() if path else ""
    except OSError as error:
        raise KubeconfigError(f"the kubeconfig names {path}, which cannot be read: {error.strerror}") from None

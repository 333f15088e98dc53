"""The machine's own single-node Kubernetes: k3s settings, registries, images (spec: infra 4.1.5, 4.2)."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Self

from pydantic import Field, model_validator

from infra.spec.model import AbsolutePath, Model, Secret, Sha256


class BinarySource(Model):
    """Where the k3s binary comes from: `https://...` with its checksum, or `file:///path` on the host itself."""

    url: str = Field(pattern=r"^(https://[^\s]+|file:///[^\s]+)$")
    sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _downloads_are_checked(self) -> Self:
        if self.url.startswith("https://") and self.sha256 is None:
            raise ValueError("a download needs its sha256: take it from the release's checksum file")
        return self

    @property
    def local_path(self) -> str | None:
        """Path on the host for a `file://` source, else None."""
        return self.url.removeprefix("file://") if self.url.startswith("file://") else None


class Registry(Model):
    """One entry of registries.yaml. `name` is what images say, for example `docker.io`."""

    name: str = Field(min_length=1)
    endpoints: tuple[str, ...] = ()
    #: Plain HTTP or an unverifiable certificate; only for a registry on the node itself.
    insecure: bool = False


class RegistryCredential(Model):
    """Login for the registry of that name."""

    registry: str = Field(min_length=1)
    username: str
    password: Secret


class ImageArchive(Model):
    """An image archive on the machine that runs the program, imported into the host's containerd when it is missing.

    The tag is the hash of the image's inputs (D9), so a reference that is present is the right image. `path` is an OCI
    index with its blobs beside (`infra.spec.oci`), of which a host receives what it lacks, or an archive in one file.
    """

    #: Full reference, `registry/name:tag`.
    reference: str = Field(pattern=r"^[^\s:@]+(:\d+)?[^\s:@]*:[A-Za-z0-9_.-]+$")
    path: AbsolutePath
    #: Checked before the upload when given.
    sha256: Sha256 | None = None


class K3sSpec(Model):
    """Settings of `k3s server`. Traefik and servicelb are always off: node ports are the fleet's only entrances."""

    #: As `k3s --version` prints it, for example `v1.33.1+k3s1`.
    version: str = Field(pattern=r"^v\d+\.\d+\.\d+[-+.0-9A-Za-z]*$")
    source: BinarySource
    node_labels: dict[str, str] = Field(default_factory=dict)
    tls_sans: tuple[str, ...] = ()
    #: Address that the others use; defaults to the host's address.
    external_ip: IPv4Address | None = None
    #: Address on an interface of the machine; found on the machine when not given.
    node_ip: IPv4Address | None = None
    registries: tuple[Registry, ...] = ()
    #: Image archives that lie on the host already and that k3s loads by itself at start.
    preloaded_images: tuple[AbsolutePath, ...] = ()
    ready_timeout_seconds: int = Field(default=300, ge=10)

"""The machine's own single-node k3s (spec: infra 4.1.5, 4.2): binary, settings, service, readiness, labels, images."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api.deploy import deploy
from pyinfra.api.operation import OperationMeta

from infra.hosts import paths
from infra.hosts.deploys import k3s_files as render
from infra.hosts.facts.images import ImportedImages
from infra.hosts.operations import files, services
from infra.hosts.operations import k3s as operations
from infra.spec import HostFacts, HostSpec, K3sSpec


@deploy("k3s")
def k3s(spec: HostSpec, facts: HostFacts) -> None:
    """The cluster of this machine, Ready, with its labels and our images."""
    if spec.k3s is None:
        return
    wanted = spec.k3s
    config = render.config(spec.name, wanted, spec.public_address, render.node_ip(wanted, spec.public_address, facts))
    registries = render.registries(wanted, spec.registry_credentials)
    unit = render.unit([mount.target for mount in spec.storage])
    written = _settings(wanted, config, registries, unit)
    # k3s looks for the NVIDIA runtime when it starts: another toolkit needs a restart.
    runtime = spec.nvidia.toolkit_version if spec.nvidia and not spec.nvidia.simulated else ""
    digest = services.digest_of(wanted.version, wanted.source.sha256 or wanted.source.url, config, registries, runtime)
    services.runs_with(name="service runs with these settings", unit="k3s", digest=digest, after=written)
    operations.ready(
        name="node is Ready",
        node=spec.name,
        timeout_seconds=wanted.ready_timeout_seconds,
    )
    if wanted.node_labels:
        operations.labelled(name="node labels", node=spec.name, labels=wanted.node_labels)
    imported = host.get_fact(ImportedImages) if spec.images else frozenset[str]()
    for image in spec.images:
        operations.image(
            name=f"image {image.reference}",
            reference=image.reference,
            archive=image.path,
            sha256=image.sha256,
            imported=imported,
        )


def _settings(wanted: K3sSpec, config: str, registries: str, unit: str) -> tuple[OperationMeta, ...]:
    """Everything that k3s reads at start."""
    return (
        operations.binary(name=f"binary {wanted.version}", source=wanted.source, version=wanted.version),
        *(operations.preloaded(name=f"preloaded images {path}", archive=path) for path in wanted.preloaded_images),
        files.content(name="config.yaml", path=paths.K3S_CONFIG, text=config, mode="600", stamp="k3s"),
        files.content(name="registries.yaml", path=paths.K3S_REGISTRIES, text=registries, mode="600", stamp="k3s")
        if registries
        else files.absent(name="registries.yaml", path=paths.K3S_REGISTRIES, stamp="k3s"),
        files.content(name="unit", path=paths.K3S_UNIT, text=unit, stamp="k3s"),
    )

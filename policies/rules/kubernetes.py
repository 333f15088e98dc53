"""Rules over one Kubernetes object's inputs, as a mapping with camelCase keys. What is not known yet is not judged."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.protocol.ports import NODE_PORT_FIRST, NODE_PORT_LAST
from policies.rules import catalogue
from policies.rules.model import Finding

#: A digest, or a tag that is the hash of the image's inputs (`in-...`) or of its content (`sha256-...`).
_PINNED: Final = re.compile(r"(@sha256:[0-9a-f]{64}|:in-[0-9a-f]{32}|:sha256-[0-9a-f]{64})$")
_SEEDS: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----|\b0x[0-9a-fA-F]{64}\b|\bsecret(Seed|Phrase)\b|\bsecure:v1:"
)
_SECRET_VARIABLE: Final = re.compile(r"(PASSWORD|SEED|SECRET|MNEMONIC|PRIVATE_KEY|TOKEN)$", re.IGNORECASE)
_AXON: Final = re.compile(r"(?<![a-z])axon(?![a-z])", re.IGNORECASE)
_CLUSTER_WIDE: Final = frozenset(
    {
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "RuntimeClass",
        "StorageClass",
    }
)
_DATA: Final = frozenset({"PersistentVolume", "PersistentVolumeClaim"})
_RELEASE: Final = "kubernetes:helm.sh/v3:Release"
_PROVIDER: Final = "pulumi:providers:"


@dataclass(frozen=True, kw_only=True)
class KubernetesObject:
    """One resource of the Kubernetes provider. `provider` is None where it would be a default one."""

    type: str
    name: str
    properties: Mapping[str, Any]
    provider: str | None
    protected: bool = False

    @property
    def kind(self) -> str:
        """Kind of the object; a patch of an object is judged like the object."""
        return self.type.rsplit(":", 1)[-1].removesuffix("Patch")

    @property
    def subject(self) -> str:
        """How messages name it."""
        return f"{self.kind} {self.name}"


def check_object(seen: KubernetesObject, *, unprotected_data: bool = False) -> Iterator[Finding]:
    """All rules over one object."""
    if seen.type.startswith(_PROVIDER):
        return
    yield from explicit_provider(seen)
    yield from image_digest(seen)
    yield from helm_images(seen)
    yield from nodeport_range(seen)
    yield from secret_shape(seen)
    yield from axon_silent(seen)
    if not unprotected_data:
        yield from data_protected(seen)


def explicit_provider(seen: KubernetesObject) -> Iterator[Finding]:
    """A provider of its own, and a namespace where the kind has one."""
    rule = catalogue.K8S_EXPLICIT_PROVIDER
    if seen.provider is None or seen.provider.startswith("default"):
        yield rule.finding(seen.subject, "it names no cluster", "give it provider=cluster.provider")
    place = seen.properties if seen.type == _RELEASE else seen.properties.get("metadata", {})
    if seen.kind not in _CLUSTER_WIDE and isinstance(place, Mapping) and not place.get("namespace"):
        yield rule.finding(seen.subject, "it names no namespace", "set metadata.namespace")


def image_digest(seen: KubernetesObject) -> Iterator[Finding]:
    """Every container's image is pinned by content."""
    for container in containers(seen.properties):
        image = container.get("image", "")
        if isinstance(image, str) and not _PINNED.search(image):
            yield catalogue.IMAGE_DIGEST.finding(
                seen.subject,
                f"container {container.get('name', '?')} runs {image or 'no image'}",
                "name it by @sha256 digest, or use an image of the catalogue",
            )


def helm_images(seen: KubernetesObject) -> Iterator[Finding]:
    """Images in a release's values carry a digest."""
    if seen.type != _RELEASE:
        return
    for path, node in _mappings(seen.properties.get("values"), "values"):
        image, repository = node.get("image"), node.get("repository")
        if isinstance(image, str) and not _PINNED.search(image):
            yield catalogue.HELM_IMAGES.finding(seen.subject, f"{path}.image is {image}", "pin it by digest")
        pins = [str(node.get(key, "")) for key in ("digest", "sha", "tag", "version")]
        if isinstance(repository, str) and not any("sha256:" in pin or _PINNED.search(f":{pin}") for pin in pins):
            yield catalogue.HELM_IMAGES.finding(seen.subject, f"{path}.repository has no digest", "add one beside it")


def nodeport_range(seen: KubernetesObject) -> Iterator[Finding]:
    """Fixed node ports lie where Kubernetes and the firewall expect them."""
    for port in node_ports(seen):
        if not NODE_PORT_FIRST <= port <= NODE_PORT_LAST:
            yield catalogue.NODEPORT_RANGE.finding(
                seen.subject, f"node port {port}", f"choose one in {NODE_PORT_FIRST}-{NODE_PORT_LAST}"
            )


def node_ports_unique(services: Iterable[tuple[str, KubernetesObject]]) -> Iterator[Finding]:
    """No node port is used twice on one cluster; services come with the name of their cluster."""
    owners: dict[tuple[str, int], str] = {}
    for cluster, seen in services:
        for port in node_ports(seen):
            owner = owners.setdefault((cluster, port), seen.subject)
            if owner != seen.subject:
                yield catalogue.NODEPORT_RANGE.finding(
                    seen.subject, f"node port {port} on {cluster} belongs to {owner}", "choose a free one"
                )


def node_ports(seen: KubernetesObject) -> list[int]:
    """Fixed node ports of a Service."""
    spec = seen.properties.get("spec")
    ports = spec.get("ports") if seen.kind == "Service" and isinstance(spec, Mapping) else None
    listed = ports if isinstance(ports, Sequence) else ()
    values = [port.get("nodePort") for port in listed if isinstance(port, Mapping)]
    return [int(value) for value in values if isinstance(value, int | float)]


def secret_shape(seen: KubernetesObject) -> Iterator[Finding]:
    """Keys and seeds belong in Secrets, which variables refer to. Messages never quote what was found."""
    rule = catalogue.SECRET_SHAPE
    if seen.kind != "Secret":
        for path, text in _texts(seen.properties, ""):
            if _SEEDS.search(text):
                yield rule.finding(seen.subject, f"{path} looks like a private key or seed", "move it into a Secret")
    for container in containers(seen.properties):
        for variable in _entries(container.get("env")):
            name, value = str(variable.get("name", "")), variable.get("value")
            if isinstance(value, str) and value and _SECRET_VARIABLE.search(name):
                yield rule.finding(
                    seen.subject, f"variable {name} holds its value in plain", "take it from a Secret with valueFrom"
                )


def axon_silent(seen: KubernetesObject) -> Iterator[Finding]:
    """No container is asked to serve an axon: the miner's address is the validator's business alone."""
    for container in containers(seen.properties):
        words = [word for key in ("command", "args") for word in container.get(key) or () if isinstance(word, str)]
        words += [str(variable.get("name", "")) for variable in _entries(container.get("env"))]
        for word in words:
            if _AXON.search(word.replace("_", " ")):
                yield catalogue.AXON_SILENT.finding(seen.subject, f"{word!r} asks for an axon", "remove it")


def data_protected(seen: KubernetesObject) -> Iterator[Finding]:
    """What holds data is not deleted by a slip."""
    if seen.kind in _DATA and not seen.protected:
        yield catalogue.DATA_PROTECTED.finding(
            seen.subject, "it is not protected", "declare it with protect=True, or allow unprotected data in a trial"
        )


def containers(properties: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All containers anywhere in an object: pods, templates, jobs in cron jobs; init containers too."""
    for _, node in _mappings(properties, ""):
        for key in ("containers", "initContainers", "ephemeralContainers"):
            yield from _entries(node.get(key))


def _entries(value: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        yield from (entry for entry in value if isinstance(entry, Mapping))


def _mappings(value: object, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        yield path, value
        for key, item in value.items():
            yield from _mappings(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            yield from _mappings(item, f"{path}[{index}]")


def _texts(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, Sequence):
        for index, item in enumerate(value):
            yield from _texts(item, f"{path}[{index}]")

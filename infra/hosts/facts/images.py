"""The images that the machine's containerd holds. k3s takes a tenth of a second for each answer: asked once a plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pyinfra.api import FactBase

from infra.hosts.paths import K3S

#: The namespace that the kubelet uses, which is also k3s's default.
CTR: Final = f"CONTAINERD_NAMESPACE=k8s.io {K3S} ctr"


class ImportedImages(FactBase[frozenset[str]]):
    """References of all images; none where containerd does not answer, which makes every image be imported again."""

    default = frozenset

    def command(self) -> str:
        return f"{CTR} images ls -q 2>/dev/null || true"

    def process(self, output: Iterable[str]) -> frozenset[str]:
        return frozenset(output)

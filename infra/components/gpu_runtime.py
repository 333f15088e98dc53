"""What makes GPUs schedulable on a node: a pinned chart as a Helm release (D5). Values never hold a secret."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pulumi
import pulumi_kubernetes as kubernetes

from infra.components.cluster import K3sCluster
from infra.components.options import RELEASE, on_cluster
from infra.resources.host import Host
from infra.spec.releases import GPU_RUNTIME

_VERSION: Final = re.compile(r"^version:\s*\"?([^\s\"+]+)[^\n]*$", re.MULTILINE)
_RELEASE_SECONDS: Final = 1200


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A packaged chart or a chart's folder, by its path from the program. Both pinned by a hash of their content."""

    chart: str
    version: str


@dataclass(frozen=True, kw_only=True)
class GpuRuntimeArgs:
    """One node's GPU runtime."""

    cluster: K3sCluster
    host: Host
    chart: Chart
    namespace: str
    values: Mapping[str, Any]


class GpuRuntime(pulumi.ComponentResource):
    """Namespace and release."""

    release: kubernetes.helm.v3.Release

    def __init__(self, name: str, args: GpuRuntimeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        chart = args.chart
        super().__init__("headframe:infra:GpuRuntime", name, {"chart": chart.chart, "version": chart.version}, opts)
        provider = args.cluster.provider
        namespace = kubernetes.core.v1.Namespace(
            f"{name}-namespace", metadata={"name": args.namespace}, opts=on_cluster(self, provider, args.host)
        )
        self.release = kubernetes.helm.v3.Release(
            name,
            name=GPU_RUNTIME,
            namespace=args.namespace,
            chart=chart.chart,
            version=chart.version,
            values=dict(args.values),
            atomic=True,
            cleanup_on_fail=True,
            max_history=3,
            skip_crds=False,
            timeout=_RELEASE_SECONDS,
            opts=on_cluster(self, provider, args.host, depends_on=[namespace], timeout=RELEASE),
        )
        self.register_outputs({})


def local_chart(folder: Path, build_folder: Path) -> Chart:
    """A copy of a chart folder whose version ends in the hash of its files: the only edit that Helm's resource sees.

    Raises:
        FileNotFoundError: the folder holds no Chart.yaml.
        ValueError: Chart.yaml has no version.
    """
    text = (folder / "Chart.yaml").read_text()
    found = _VERSION.search(text)
    if found is None:
        raise ValueError(f"{folder / 'Chart.yaml'} has no version: write one, for example 0.1.0")
    digest = chart_hash(folder)
    version = f"{found.group(1)}+{digest}"
    target = build_folder / f"{folder.parent.name}-{folder.name}-{digest}"
    if not target.exists():
        partial = target.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(folder, partial)
        (partial / "Chart.yaml").write_text(_VERSION.sub(f"version: {version}", text, count=1))
        partial.replace(target)
    return Chart(chart=str(target), version=version)


def chart_hash(folder: Path) -> str:
    """The first 12 characters of a hash over names and contents of a folder's files."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()[:12]

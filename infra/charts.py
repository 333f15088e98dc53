"""Charts of repositories, pinned by content (D5): fetched once, accepted only with the declared SHA-256.

The archive is kept by its digest in the cache, so that a later run asks nobody. Nothing is unpacked here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin

import httpx
import stamina
import yaml

_TIMEOUT: Final = httpx.Timeout(60.0, connect=10.0)


class ChartError(RuntimeError):
    """A chart cannot be had, or is another than the declared one. Nothing of it was kept."""


def pinned_archive(repository: str, chart: str, version: str, digest: str, cache: Path) -> Path:
    """The packaged chart.

    Args:
        repository: address of the chart repository, without `/index.yaml`.
        digest: SHA-256 of the archive, 64 hexadecimal digits.

    Raises:
        ChartError: the repository does not answer, lacks that version, or serves other bytes.
    """
    target = cache / "charts" / f"{digest}.tgz"
    if target.exists() and _sha256(target.read_bytes()) == digest:
        return target
    try:
        content = _fetch(repository.rstrip("/") + "/", chart, version)
    except httpx.HTTPError as error:
        raise ChartError(f"chart {chart} {version} cannot be fetched from {repository}: {error}") from None
    if (found := _sha256(content)) != digest:
        raise ChartError(
            f"chart {chart} {version} of {repository} has SHA-256 {found}, declared is {digest}. If the new content is "
            f"wanted: pulumi config set --path headframe:gpu_runtime.digest {found}"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(target)
    return target


def served_digest(repository: str, chart: str, version: str) -> str | None:
    """SHA-256 of what the repository serves now, for a person to pin; None where it serves nothing."""
    try:
        return _sha256(_fetch(repository.rstrip("/") + "/", chart, version))
    except (httpx.HTTPError, ChartError):
        return None


def archive_address(index: Mapping[str, Any], repository: str, chart: str, version: str) -> str:
    """Where a repository's index says that a chart's archive is. Pure.

    Raises:
        ChartError: it lists no such version.
    """
    entries = (index.get("entries") or {}).get(chart) or []
    for entry in entries:
        if str(entry.get("version")).removeprefix("v") == version.removeprefix("v") and entry.get("urls"):
            return urljoin(repository, str(entry["urls"][0]))
    there = ", ".join(str(entry.get("version")) for entry in entries[:5]) or "none"
    raise ChartError(f"{repository} has no {chart} {version}; newest there: {there}")


@stamina.retry(on=httpx.TransportError, attempts=3, timeout=120.0)
def _fetch(repository: str, chart: str, version: str) -> bytes:
    with httpx.Client(timeout=_TIMEOUT, follow_redirects=True) as client:
        text = client.get(urljoin(repository, "index.yaml")).raise_for_status().text
        try:
            index = yaml.safe_load(text)
            address = archive_address(index if isinstance(index, dict) else {}, repository, chart, version)
            return client.get(address).raise_for_status().content
        except (yaml.YAMLError, AttributeError, TypeError, httpx.InvalidURL):
            raise ChartError(f"{repository}index.yaml is no index of a chart repository: mend the address") from None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

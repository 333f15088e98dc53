"""The archive that a machine still needs of an image: only blobs that its containerd does not hold.

Writes a file on this machine; talks to no other. After the first image of a fleet a changed line is a few kilobytes.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Collection
from pathlib import Path

from infra.spec.oci import LAYOUT, MANIFEST_TYPE, StoredImage, index_text


def write_upload(image: StoredImage, present: Collection[str], target: Path) -> None:
    """An OCI archive of `image` without the blobs of these digests, whole or not at all."""
    partial = target.with_name(f"{target.name}.partial")
    with tarfile.open(partial, "w") as tar:
        _text(tar, "oci-layout", LAYOUT)
        _text(tar, "index.json", index_text(image.reference, MANIFEST_TYPE, image.manifest))
        for blob in image.lacking(present):
            tar.add(image.path(blob), blob.layout_path)
    partial.replace(target)


def _text(tar: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text.encode())
    tar.addfile(entry, io.BytesIO(text.encode()))

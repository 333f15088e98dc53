"""Finished images as blobs: a layer is compressed once, found again by what it holds, and shared by all that have it.

Reads a folder that buildah wrote and writes below the folder of blobs; runs nothing.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, Final

from infra.images.tools import locked, sha256_of, write_whole
from infra.spec.oci import MANIFEST_TYPE, Blob, index_text

#: zlib's own middle way; another level would be other bytes and with them another digest.
_LEVEL: Final = 6
_CHUNK_BYTES: Final = 1 << 20
_LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar+gzip"


class Blobs:
    """The folder of blobs, and what is known of layers by the digest of their content."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known = folder / "compressed"
        for needed in (folder / "blobs" / "sha256", self._known):
            needed.mkdir(parents=True, exist_ok=True)

    def publish(self, reference: str, written: Path, index: Path) -> None:
        """Take in an image that buildah wrote to the folder `written` with layers as they are, and write its index."""
        manifest: dict[str, Any] = json.loads((written / "manifest.json").read_text())
        config = manifest["config"]["digest"].removeprefix("sha256:")
        self._take(written / config, config)
        manifest["layers"] = [self._compressed(layer["digest"], written) for layer in manifest["layers"]]
        # What buildah says of the image below names steps of this machine.
        manifest.pop("annotations", None)
        content = json.dumps(manifest, sort_keys=True).encode()
        described = Blob(f"sha256:{hashlib.sha256(content).hexdigest()}", len(content))
        write_whole(self._folder / described.layout_path, content.decode())
        write_whole(index, index_text(reference, MANIFEST_TYPE, described))

    def _compressed(self, content: str, written: Path) -> dict[str, Any]:
        """The descriptor of a layer, compressed now unless that was done before."""
        name = content.removeprefix("sha256:")
        record = self._known / f"{name}.json"
        with locked(self._known / f"{name}.lock"):
            if (known := self._recorded(record)) is not None:
                return known
            partial = self._folder / "blobs" / f"{name}.partial"
            _compress(written / name, partial)
            digest = sha256_of(partial)
            described = {"mediaType": _LAYER_TYPE, "digest": f"sha256:{digest}", "size": partial.stat().st_size}
            self._take(partial, digest)
            write_whole(record, json.dumps(described))
        return described

    def _recorded(self, record: Path) -> dict[str, Any] | None:
        if not record.exists():
            return None
        known: dict[str, Any] = json.loads(record.read_text())
        path = self._folder / Blob(known["digest"], known["size"]).layout_path
        return known if path.exists() and path.stat().st_size == known["size"] else None

    def _take(self, source: Path, name: str) -> None:
        source.replace(self._folder / "blobs" / "sha256" / name)


def _compress(source: Path, target: Path) -> None:
    """Without a name and a time in the header: the same layer is the same bytes."""
    with (
        source.open("rb") as plain,
        target.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=0) as packed,
    ):
        shutil.copyfileobj(plain, packed, _CHUNK_BYTES)

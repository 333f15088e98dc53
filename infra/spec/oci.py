"""An image as the builder leaves it and the host runner takes it: an OCI index, and its blobs by digest beside it.

Images share blobs, so a base is kept once and sent to a machine once: after the first image of a fleet a changed line
is kilobytes. Reads and packs files of this machine; builds and sends nothing.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

#: Suffix of an index file; anything else is a docker or OCI archive in one file.
INDEX_SUFFIX: Final = ".json"
MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
LAYOUT: Final = '{"imageLayoutVersion": "1.0.0"}'
_ALGORITHM: Final = "sha256:"


@dataclass(frozen=True)
class Blob:
    """Content by its digest, `sha256:...`."""

    digest: str
    size_bytes: int

    @property
    def layout_path(self) -> str:
        """Where it lies in an OCI layout, and below the folder of an index."""
        return f"blobs/sha256/{self.digest.removeprefix(_ALGORITHM)}"


@dataclass(frozen=True)
class StoredImage:
    """One image on this machine."""

    reference: str
    folder: Path
    manifest: Blob
    config: Blob
    layers: tuple[Blob, ...]

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """Everything it is made of, each once."""
        return tuple(dict.fromkeys((self.manifest, self.config, *self.layers)))

    @property
    def size_bytes(self) -> int:
        """Bytes of all blobs: what a machine receives that holds none of them."""
        return sum(blob.size_bytes for blob in self.blobs)

    def path(self, blob: Blob) -> Path:
        """Where a blob of this image lies."""
        return self.folder / blob.layout_path

    def lacking(self, present: Collection[str]) -> tuple[Blob, ...]:
        """What a machine needs that holds the blobs of these digests. Its own manifest and config always."""
        own = (self.manifest, self.config)
        return tuple(blob for blob in self.blobs if blob in own or blob.digest not in present)


def index_text(reference: str, media_type: str, manifest: Blob) -> str:
    """The index of one image, under the name that containerd gives it."""
    annotations = {
        "io.containerd.image.name": reference,
        "org.opencontainers.image.ref.name": reference.rpartition(":")[2],
    }
    described = {
        "mediaType": media_type,
        "digest": manifest.digest,
        "size": manifest.size_bytes,
        "annotations": annotations,
    }
    return json.dumps({"schemaVersion": 2, "manifests": [described]}, sort_keys=True)


def read_image(index: Path) -> StoredImage:
    """The image of an index file. Its blobs lie in `blobs`, beside the folder of the index.

    Raises:
        OSError: the index or the manifest is not there.
        ValueError: either is not what the builder writes, or a blob is missing or of another size.
    """
    folder = index.parent.parent
    try:
        (described,) = json.loads(index.read_text())["manifests"]
        manifest = _blob(described)
        content = json.loads((folder / manifest.layout_path).read_text())
        image = StoredImage(
            reference=described["annotations"]["io.containerd.image.name"],
            folder=folder,
            manifest=manifest,
            config=_blob(content["config"]),
            layers=tuple(_blob(layer) for layer in content["layers"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{index} is no image index ({error!r}): build the image again") from error
    for blob in image.blobs:
        path = image.path(blob)
        if not path.exists() or path.stat().st_size != blob.size_bytes:
            raise ValueError(f"{path} is missing or not {blob.size_bytes} bytes: build {image.reference} again")
    return image


def write_archive(image: StoredImage, target: Path, *, present: Collection[str] = ()) -> None:
    """An OCI archive of `image` without the blobs of these digests, whole or not at all."""
    partial = target.with_name(f"{target.name}.partial")
    with tarfile.open(partial, "w") as tar:
        _add(tar, "oci-layout", LAYOUT)
        _add(tar, "index.json", index_text(image.reference, MANIFEST_TYPE, image.manifest))
        for blob in image.lacking(present):
            tar.add(image.path(blob), blob.layout_path)
    partial.replace(target)


def _add(tar: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text.encode())
    tar.addfile(entry, io.BytesIO(text.encode()))


def _blob(described: Mapping[str, Any]) -> Blob:
    return Blob(digest=described["digest"], size_bytes=described["size"])

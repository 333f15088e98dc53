"""Container images that the simulated registry serves: from docker archives or the builder's blobs, never unpacked.

SIMULATED chutes have no images of their own: one archive, the stand-in chute, may answer to every reference.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import posixpath
import tarfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson

from infra.spec.oci import INDEX_SUFFIX, read_image

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar"
#: What an unknown image is: nothing at all, but well formed.
EMPTY_CONFIG: Final = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
_CHUNK_BYTES: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"


def digest_of(content: bytes) -> str:
    """As registries write it."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Blob:
    """A part of a file, or bytes in memory."""

    size: int
    content: bytes | None = field(default=None, repr=False)
    archive: Path | None = None
    offset: int = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        """Its bytes, read beside the event loop."""
        if self.archive is None:
            yield self.content or b""
            return
        position, end = self.offset, self.offset + self.size
        while position < end:
            chunk = await asyncio.to_thread(_read, self.archive, position, min(_CHUNK_BYTES, end - position))
            if not chunk:
                raise OSError(f"{self.archive} became shorter while it was served")
            position += len(chunk)
            yield chunk


def _read(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)


@dataclass(frozen=True)
class Image:
    """A manifest and what it names."""

    manifest: bytes
    blobs: dict[str, Blob]

    @property
    def digest(self) -> str:
        """The manifest's."""
        return digest_of(self.manifest)


def image(config: bytes, layers: list[tuple[str, Blob]]) -> Image:
    """An image of a config and its layers, each with its digest."""
    described = [{"mediaType": LAYER_TYPE, "digest": digest, "size": blob.size} for digest, blob in layers]
    manifest = {
        "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": described,
        "config": {"mediaType": CONFIG_TYPE, "digest": digest_of(config), "size": len(config)},
        "annotations": {"headframe/simulated": "true"},
    }  # fmt: skip
    blobs = dict(layers) | {digest_of(config): Blob(len(config), config)}
    return Image(orjson.dumps(manifest), blobs)


def read_archive(path: Path) -> Image:
    """Index an image of the builder (`infra.spec.oci`), or a docker archive of one with uncompressed layers.

    Raises:
        ValueError: it is neither.
        OSError: it cannot be read.
    """
    if path.suffix == INDEX_SUFFIX:
        stored = read_image(path)
        blobs = {blob.digest: Blob(blob.size_bytes, archive=stored.path(blob)) for blob in stored.blobs}
        return Image(stored.path(stored.manifest).read_bytes(), blobs)
    try:
        with tarfile.open(path, "r:") as tar:
            listed = orjson.loads(_member(tar, "manifest.json"))
            entry = listed[0]
            config = _member(tar, entry["Config"])
            digests = orjson.loads(config)["rootfs"]["diff_ids"]
            layers = [_layer(tar, path, name) for name in entry["Layers"]]
    except (tarfile.TarError, KeyError, IndexError, TypeError, orjson.JSONDecodeError) as error:
        raise ValueError(f"{path} is no docker archive of one image: {error!r}") from error
    if len(digests) != len(layers):
        raise ValueError(f"{path} has {len(layers)} layers, its configuration names {len(digests)}")
    return image(config, list(zip(digests, layers, strict=True)))


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read()


def _layer(tar: tarfile.TarFile, path: Path, name: str) -> Blob:
    file = tar.extractfile(name)  # follows links: a layer may be one that the archive has elsewhere
    if file is None:
        raise KeyError(name)
    if file.read(2) == _GZIP:
        raise ValueError(f"{path}: layer {name} is compressed; wanted plain ones, as buildah's docker-archive has")
    ends_at = file.seek(0, io.SEEK_END)
    return Blob(ends_at, archive=path, offset=_offset(tar, name))


def _offset(tar: tarfile.TarFile, name: str) -> int:
    member = tar.getmember(name)
    while member.issym() or member.islnk():
        folder = "" if member.islnk() else posixpath.dirname(member.name)
        member = tar.getmember(posixpath.normpath(posixpath.join(folder, member.linkname)))
    return member.offset_data


class Library:
    """Images by `name:tag`; `stand_in` answers to every other reference, else an image with nothing in it."""

    def __init__(self) -> None:
        self.images: dict[str, Image] = {}
        self.stand_in: Image = image(EMPTY_CONFIG, [])

    def find(self, name: str, reference: str) -> Image | None:
        """By tag, or by the manifest's digest."""
        if reference.startswith("sha256:"):
            known = (self.images.get(key) for key in self.images if key.partition(":")[0] == name)
            return next((found for found in (*known, self.stand_in) if found and found.digest == reference), None)
        return self.images.get(f"{name}:{reference}", self.stand_in)

    def blob(self, digest: str) -> Blob | None:
        """By digest, of whatever image."""
        for found in (*self.images.values(), self.stand_in):
            if digest in found.blobs:
                return found.blobs[digest]
        return None

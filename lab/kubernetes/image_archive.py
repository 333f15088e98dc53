"""Writes a container image as a docker archive: one layer of given files, byte for byte the same for the same input.

No builder, no registry, no base image: for static binaries and for what tests need.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

_CHUNK_BYTES: Final = 1 << 20
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Image:
    """What an image holds.

    Args:
        name: repository and tag.
        files: files of this machine by their path in the image (absolute, without links).
        links: symbolic links in the image: path -> target.
        entrypoint: program and arguments.
        command: default arguments after the entry point.
    """

    name: str
    files: Mapping[str, Path]
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = "0:0"


def write_image(image: Image, archive: Path) -> str:
    """Write the archive (replacing what is there in one step) and return the image id.

    Raises:
        OSError: a file cannot be read or the archive cannot be written.
    """
    archive.parent.mkdir(parents=True, exist_ok=True)
    partial = archive.with_suffix(".partial")
    with tempfile.TemporaryFile(dir=archive.parent) as layer:
        digest = _write_layer(image, layer)
        config = json.dumps(_config(image, digest), sort_keys=True).encode()
        image_id = hashlib.sha256(config).hexdigest()
        layer_name = f"{digest}/layer.tar"
        manifest = [{"Config": f"{image_id}.json", "RepoTags": [image.name], "Layers": [layer_name]}]
        with tarfile.open(partial, "w", format=tarfile.GNU_FORMAT) as tar:
            _add(tar, f"{image_id}.json", io.BytesIO(config), len(config))
            size = layer.seek(0, io.SEEK_END)
            layer.seek(0)
            _add(tar, layer_name, layer, size)
            text = json.dumps(manifest).encode()
            _add(tar, "manifest.json", io.BytesIO(text), len(text))
    partial.rename(archive)
    return f"sha256:{image_id}"


def _write_layer(image: Image, layer: IO[bytes]) -> str:
    """Write the layer and return its digest. Entries are sorted; owner, time and device numbers are fixed."""
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for folder in _folders([*image.files, *image.links]):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        for path, source in sorted(image.files.items()):
            with source.open("rb") as stream:
                _add(
                    tar, path.lstrip("/"), stream, source.stat().st_size, 0o755 if os.access(source, os.X_OK) else 0o644
                )
        for path, target in sorted(image.links.items()):
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
            tar.addfile(entry)
    layer.seek(0)
    digest = hashlib.sha256()
    while chunk := layer.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def _folders(paths: Sequence[str]) -> list[str]:
    parents = {"tmp"}
    for path in paths:
        parents.update(str(parent) for parent in Path(path.lstrip("/")).parents if str(parent) != ".")
    return sorted(parents)


def _add(tar: tarfile.TarFile, name: str, stream: IO[bytes], size: int, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, mode
    tar.addfile(entry, stream)


def _config(image: Image, layer_digest: str) -> dict[str, object]:
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {"PATH": path, **image.environment}
    return {
        "architecture": _ARCHITECTURES[os.uname().machine],
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Env": [f"{key}={value}" for key, value in environment.items()],
            "Entrypoint": list(image.entrypoint) or None,
            "Cmd": list(image.command) or None,
            "User": image.user,
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "headframe lab"}],
    }

"""An image on disk as the builder leaves it, made of the given layers; no tool is needed."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Final

from infra.spec.oci import MANIFEST_TYPE, Blob, index_text

CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar"


def stored(folder: Path, reference: str, layers: tuple[bytes, ...]) -> Path:
    """Write the blobs of an image below `folder`; answers its index. A machine takes it if the layers are tars."""
    written = [_blob(folder, layer) for layer in layers]
    told = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [blob.digest for blob in written]},
    }
    config = _blob(folder, json.dumps(told).encode())
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": config.digest, "size": config.size_bytes},
        "layers": [{"mediaType": LAYER_TYPE, "digest": blob.digest, "size": blob.size_bytes} for blob in written],
    }
    index = folder / "archives" / f"{hashlib.sha256(reference.encode()).hexdigest()[:16]}.json"
    index.parent.mkdir(parents=True, exist_ok=True)
    index.write_text(index_text(reference, MANIFEST_TYPE, _blob(folder, json.dumps(manifest).encode())))
    return index


def tar_of(files: dict[str, bytes]) -> bytes:
    """A layer of these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _blob(folder: Path, content: bytes) -> Blob:
    blob = Blob(f"sha256:{hashlib.sha256(content).hexdigest()}", len(content))
    path = folder / blob.layout_path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return blob

"""Blobs of finished images: a layer is compressed once, and the same image has the same digest."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

from infra.images.blobs import Blobs
from infra.spec.oci import StoredImage, read_image


def written(folder: Path, layers: tuple[bytes, ...]) -> Path:
    """A folder as buildah writes it: a manifest, and everything else by its digest."""
    folder.mkdir()

    def put(content: bytes) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        (folder / digest).write_bytes(content)
        return {"mediaType": "plain", "digest": f"sha256:{digest}", "size": len(content)}

    manifest = {
        "schemaVersion": 2,
        "config": put(b"{}"),
        "layers": [put(layer) for layer in layers],
        "annotations": {"org.opencontainers.image.base.name": "localhost/step:1"},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def publish(cache: Path, name: str, layers: tuple[bytes, ...]) -> StoredImage:
    index = cache / "archives" / f"{name}.json"
    index.parent.mkdir(parents=True, exist_ok=True)
    Blobs(cache).publish(f"headframe.local/{name}:in-0", written(cache / name, layers), index)
    return read_image(index)


def test_layers_come_out_as_they_went_in_and_the_manifest_names_no_step_of_this_machine(tmp_path: Path) -> None:
    image = publish(tmp_path, "one", (b"base", b"own"))
    assert [gzip.decompress(image.path(layer).read_bytes()) for layer in image.layers] == [b"base", b"own"]
    assert "localhost" not in image.path(image.manifest).read_text()
    assert image.manifest.digest == f"sha256:{hashlib.sha256(image.path(image.manifest).read_bytes()).hexdigest()}"


def test_a_shared_layer_is_compressed_once(tmp_path: Path) -> None:
    one = publish(tmp_path, "one", (b"base", b"one"))
    path = one.path(one.layers[0])
    before = path.stat().st_mtime_ns
    other = publish(tmp_path, "other", (b"base", b"other"))
    assert other.layers[0] == one.layers[0]
    assert path.stat().st_mtime_ns == before


def test_a_layer_whose_blob_was_lost_is_compressed_again_to_the_same_bytes(tmp_path: Path) -> None:
    one = publish(tmp_path, "one", (b"base", b"one"))
    one.path(one.layers[0]).unlink()
    assert publish(tmp_path, "again", (b"base", b"one")).layers == one.layers


def test_two_caches_give_one_digest(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    layers = (b"base" * 1000, b"own")
    assert publish(tmp_path / "a", "x", layers).manifest == publish(tmp_path / "b", "y", layers).manifest

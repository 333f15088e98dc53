"""The simulated registry reads docker archives in place."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import orjson
import pytest

from infra.spec.oci import read_image
from lab.kubernetes.image_archive import Image, write_image
from lab.validator.library import Library, image, read_archive
from tests.support.oci import stored


def _write(path: Path, members: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return path


def _described(layers: list[str], digests: list[str]) -> dict[str, bytes]:
    config = orjson.dumps({"rootfs": {"type": "layers", "diff_ids": digests}})
    return {
        "manifest.json": orjson.dumps([{"Config": "c.json", "RepoTags": ["a:1"], "Layers": layers}]),
        "c.json": config,
    }


async def _bytes(library: Library, digest: str) -> bytes:
    blob = library.blob(digest)
    assert blob is not None
    return b"".join([chunk async for chunk in blob.chunks()])


async def test_every_blob_of_a_manifest_is_served_with_the_digest_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 3_000_000)
    write_image(Image("a/b:1", {"/file": tmp_path / "file"}), tmp_path / "image.tar")
    library = Library()
    library.images["a/b:1"] = read_archive(tmp_path / "image.tar")
    found = library.find("a/b", "1")
    assert found is not None
    manifest = orjson.loads(found.manifest)
    for part in (manifest["config"], *manifest["layers"]):
        content = await _bytes(library, part["digest"])
        assert len(content) == part["size"]
        assert "sha256:" + hashlib.sha256(content).hexdigest() == part["digest"]


async def test_an_image_of_the_builder_is_served_as_it_lies_on_disk(tmp_path: Path) -> None:
    index = stored(tmp_path, "headframe.local/lab-chute:in-0", (b"base", b"own"))
    library = Library()
    library.stand_in = read_archive(index)
    assert library.stand_in.digest == read_image(index).manifest.digest
    manifest = orjson.loads(library.stand_in.manifest)
    assert [await _bytes(library, layer["digest"]) for layer in manifest["layers"]] == [b"base", b"own"]


async def test_a_layer_that_is_a_link_to_another_is_that_layer(tmp_path: Path) -> None:
    layer = b"layer" * 300
    digest = "sha256:" + hashlib.sha256(layer).hexdigest()
    members = _described(["1/layer.tar", "2/layer.tar"], [digest, digest]) | {"1/layer.tar": layer}
    found = read_archive(_write(tmp_path / "a.tar", members, {"2/layer.tar": "../1/layer.tar"}))
    assert [part["size"] for part in orjson.loads(found.manifest)["layers"]] == [len(layer)] * 2


def test_a_compressed_layer_is_refused_because_its_digest_would_be_wrong(tmp_path: Path) -> None:
    members = _described(["l"], ["sha256:0"]) | {"l": gzip.compress(b"layer")}
    with pytest.raises(ValueError, match="layer l is compressed; wanted plain ones"):
        read_archive(_write(tmp_path / "a.tar", members))


@pytest.mark.parametrize(
    "members",
    [{}, {"manifest.json": b"[]"}, _described(["absent"], ["d"]), _described([], ["d"]), {"manifest.json": b"{"}],
)
def test_what_is_no_archive_of_one_image_is_refused(members: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no docker archive of one image|its configuration names"):
        read_archive(_write(tmp_path / "a.tar", members))


async def test_an_archive_that_became_shorter_ends_the_answer_instead_of_lying(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10)
    write_image(Image("a:1", {"/file": tmp_path / "file"}), tmp_path / "image.tar")
    library = Library()
    library.images["a:1"] = found = read_archive(tmp_path / "image.tar")
    (tmp_path / "image.tar").write_bytes(b"")
    with pytest.raises(OSError, match="became shorter"):
        await _bytes(library, orjson.loads(found.manifest)["layers"][0]["digest"])


def test_the_stand_in_answers_to_every_unknown_name_and_a_digest_only_to_its_own() -> None:
    library = Library()
    library.stand_in = image(b"{}", [])
    assert library.find("any/thing", "1") is library.stand_in
    assert library.find("any/thing", library.stand_in.digest) is library.stand_in
    assert library.find("any/thing", "sha256:0") is None
    assert library.blob("sha256:0") is None

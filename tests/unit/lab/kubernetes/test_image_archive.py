"""The archive is what containerd imports, and the same input gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from lab.kubernetes.image_archive import Image, write_image


@pytest.fixture
def image(tmp_path: Path) -> Image:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF not really")
    program.chmod(0o700)
    return Image("headframe.lab/test:1", {"/bin/program": program}, ["/bin/program"], links={"/bin/sh": "program"})


def test_the_same_input_gives_the_same_bytes(image: Image, tmp_path: Path) -> None:
    first = write_image(image, tmp_path / "a.tar")
    image.files["/bin/program"].touch()
    assert write_image(image, tmp_path / "b.tar") == first
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_manifest_config_and_layer_name_each_other_by_their_hashes(image: Image, tmp_path: Path) -> None:
    image_id = write_image(image, tmp_path / "a.tar")
    with tarfile.open(tmp_path / "a.tar") as archive:
        contents = {name: stream.read() for name in archive.getnames() if (stream := archive.extractfile(name))}
    (manifest,) = json.loads(contents["manifest.json"])
    assert manifest["RepoTags"] == ["headframe.lab/test:1"]
    config = contents[manifest["Config"]]
    assert image_id == "sha256:" + hashlib.sha256(config).hexdigest()
    layer = hashlib.sha256(contents[manifest["Layers"][0]]).hexdigest()
    assert json.loads(config)["rootfs"]["diff_ids"] == [f"sha256:{layer}"]
    assert json.loads(config)["config"]["Entrypoint"] == ["/bin/program"]


def test_the_layer_holds_files_folders_and_links_owned_by_root(image: Image, tmp_path: Path) -> None:
    write_image(image, tmp_path / "a.tar")
    with tarfile.open(tmp_path / "a.tar") as archive:
        name = next(name for name in archive.getnames() if name.endswith("layer.tar"))
        stream = archive.extractfile(name)
        with tarfile.open(fileobj=stream) as layer:
            entries = {entry.name: entry for entry in layer.getmembers()}
    assert set(entries) == {"bin", "tmp", "bin/program", "bin/sh"}
    assert entries["bin/program"].mode == 0o755
    assert entries["bin/sh"].linkname == "program"
    assert {(entry.uid, entry.gid, entry.mtime) for entry in entries.values()} == {(0, 0, 0)}

"""An image's index and blobs: read whole or refused with the command that repairs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.spec.oci import read_image
from tests.support.oci import stored

REFERENCE = "headframe.local/agent:in-0"


def test_an_image_is_read_as_it_was_written(tmp_path: Path) -> None:
    image = read_image(stored(tmp_path, REFERENCE, (b"base", b"own")))
    assert image.reference == REFERENCE
    assert [layer.size_bytes for layer in image.layers] == [4, 3]
    assert image.size_bytes == sum(image.path(blob).stat().st_size for blob in image.blobs)


def test_a_layer_that_comes_twice_is_one_blob(tmp_path: Path) -> None:
    image = read_image(stored(tmp_path, REFERENCE, (b"same", b"same")))
    assert len(image.layers) == 2
    assert len(image.blobs) == 3


def test_a_missing_or_cut_blob_is_named_with_what_to_do(tmp_path: Path) -> None:
    index = stored(tmp_path, REFERENCE, (b"base",))
    blob = read_image(index).path(read_image(index).layers[0])
    blob.write_bytes(b"bas")
    with pytest.raises(ValueError, match=rf"{blob.name} is missing or not 4 bytes: build {REFERENCE} again"):
        read_image(index)
    blob.unlink()
    with pytest.raises(ValueError, match="build"):
        read_image(index)


@pytest.mark.parametrize("text", ["{}", '{"manifests": [{}]}', '{"manifests": []}', "no json"])
def test_another_file_is_no_index(tmp_path: Path, text: str) -> None:
    index = tmp_path / "archives" / "image.json"
    index.parent.mkdir()
    index.write_text(text)
    with pytest.raises(ValueError, match=r"is no image index .* build the image again"):
        read_image(index)

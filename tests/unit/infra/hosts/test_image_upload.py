"""What a machine receives of an image, and what it does where its containerd wants all of it."""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyinfra.api import OperationError
from pyinfra.connectors.fake import FakeConnector

from infra.hosts.operations import k3s
from infra.hosts.paths import K3S, K3S_KUBECONFIG, UPLOADS
from infra.spec import BinarySource, ImageArchive, K3sSpec, Verb
from infra.spec.oci import StoredImage, read_image, write_archive
from tests.support.fake_host import run_fake
from tests.support.oci import stored
from tests.support.specs import host_spec

REFERENCE = "headframe.local/agent:in-0"
LAYERS = (b"base", b"shared", b"own")


def sent(image: StoredImage, present: frozenset[str], folder: Path) -> dict[str, int]:
    """Names and sizes in the archive that is sent."""
    write_archive(image, folder / "up.tar", present=present)
    with tarfile.open(folder / "up.tar") as tar:
        return {member.name: member.size for member in tar.getmembers()}


@settings(max_examples=20, deadline=None)
@given(st.frozensets(st.integers(0, 4)))
def test_what_is_sent_and_what_is_there_make_the_image(held: frozenset[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        image = read_image(stored(Path(folder), REFERENCE, LAYERS))
        present = frozenset(image.blobs[number].digest for number in held)
        names = set(sent(image, present, Path(folder))) - {"index.json", "oci-layout"}
        whole = {blob.layout_path for blob in image.blobs}
        there = {blob.layout_path for blob in image.blobs if blob.digest in present}
    assert names | there == whole
    assert not names & {layer.layout_path for layer in image.layers if layer.digest in present}


#: A containerd that takes whole archives only. Its content is a folder of blobs.
STRICT = """#!/bin/sh
content=$(dirname "$0")/content
case "$2 $3" in
"images import")
    for blob in $EVERY; do tar -tf "$4" | grep -q "$blob" || { echo "$blob: not found" >&2; exit 1; }; done ;;
"content get") cat "$content/${4#sha256:}" ;;
esac
"""


def test_a_containerd_that_takes_no_partial_archive_gets_a_whole_one_from_its_own_content(tmp_path: Path) -> None:
    image = read_image(stored(tmp_path, REFERENCE, LAYERS))
    (tmp_path / "content").mkdir()
    held = frozenset(layer.digest for layer in image.layers[:2])
    for layer in image.layers[:2]:
        target = tmp_path / "content" / layer.digest.removeprefix("sha256:")
        target.write_bytes(image.path(layer).read_bytes())
    program = tmp_path / "k3s"
    program.write_text(STRICT)
    program.chmod(0o755)
    archive = tmp_path / "up.tar"
    write_archive(image, archive, present=held)

    def run(left_out: frozenset[str]) -> subprocess.CompletedProcess[str]:
        script = k3s._import(str(archive), left_out).replace(K3S, str(program))
        every = " ".join(Path(blob.layout_path).name for blob in image.blobs)
        environment = {"PATH": "/usr/bin:/bin", "EVERY": every}
        return subprocess.run(
            ["sh", "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    done = run(held)
    assert done.returncode == 0, done.stderr
    assert "not found" in done.stderr
    assert not list(tmp_path.glob("up.tar*"))
    write_archive(image, archive, present=held)
    refused = run(frozenset())
    assert refused.returncode != 0
    assert not archive.exists()


def test_the_runner_asks_what_is_there_sends_the_rest_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads: dict[Path, set[str]] = {}

    def put_file(_: FakeConnector, source: str, *_arguments: object, **_options: object) -> bool:
        with tarfile.open(source) as tar:
            uploads[Path(source)] = set(tar.getnames())
        return True

    monkeypatch.setattr(FakeConnector, "put_file", put_file)
    index = stored(tmp_path, REFERENCE, LAYERS)
    image = read_image(index)
    kubernetes = K3sSpec(version="v1.33.1+k3s1", source=BinarySource(url="https://example.org/k3s", sha256="a" * 64))
    wanted = host_spec(k3s=kubernetes, images=(ImageArchive(reference=REFERENCE, path=str(index)),))
    held = image.layers[0].digest
    answers = {"content ls -q": held, "images ls -q 2>/dev/null": "", f"cat {K3S_KUBECONFIG} 2>": "clusters: []"}
    run = run_fake(Verb.APPLY, wanted, answers)
    ((sent_file, names),) = uploads.items()
    assert names == {"index.json", "oci-layout"} | {blob.layout_path for blob in image.lacking({held})}
    assert not sent_file.exists()
    assert any(f"images import {UPLOADS}" in command and f"content get {held}" in command for command in run.commands)


def test_an_image_that_was_not_built_is_an_error_with_the_fix(tmp_path: Path) -> None:
    index = stored(tmp_path, REFERENCE, LAYERS)
    read_image(index).path(read_image(index).layers[0]).unlink()
    with pytest.raises(OperationError, match="build"):
        k3s._composed(index, frozenset(), tmp_path / "up.tar")

"""Official releases, from a server of our own."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lab.engine.download import UnavailableError, downloaded
from lab.engine.releases import Release, helm

pytestmark = pytest.mark.service
PROGRAM = b"#!/bin/sh\necho v3.19.5\n"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        return


@pytest.fixture
def release(tmp_path: Path) -> Iterator[Release]:
    """A published release: archive and checksum file."""
    site = tmp_path / "site"
    site.mkdir()
    entry = tarfile.TarInfo("linux-amd64/helm")
    entry.size, entry.mode = len(PROGRAM), 0o755
    with tarfile.open(site / "helm.tar.gz", "w:gz") as archive:
        archive.addfile(entry, io.BytesIO(PROGRAM))
    digest = hashlib.sha256((site / "helm.tar.gz").read_bytes()).hexdigest()
    (site / "sums.txt").write_text(f"{'0' * 64}  other.tar.gz\n{digest}  helm.tar.gz\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    base = f"http://127.0.0.1:{server.server_address[1]}"
    yield dataclasses.replace(helm("x86_64"), archive=f"{base}/helm.tar.gz", checksums=f"{base}/sums.txt")
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_a_release_is_verified_and_unpacked(release: Release, tmp_path: Path) -> None:
    program = downloaded(release, tmp_path / "cache")
    assert program.read_bytes() == PROGRAM
    (tmp_path / "site" / "helm.tar.gz").unlink()
    assert downloaded(release, tmp_path / "cache") == program


def test_a_release_with_another_content_is_refused(release: Release, tmp_path: Path) -> None:
    with (tmp_path / "site" / "helm.tar.gz").open("ab") as file:
        file.write(b"more")
    with pytest.raises(UnavailableError, match="refused"):
        downloaded(release, tmp_path / "cache")
    assert not (tmp_path / "cache" / "releases" / "helm-3.19.5").exists()


def test_a_publisher_without_a_checksum_is_refused(release: Release, tmp_path: Path) -> None:
    (tmp_path / "site" / "sums.txt").write_text("nothing here\n")
    with pytest.raises(UnavailableError, match="says nothing of"):
        downloaded(release, tmp_path / "cache")


def test_a_publisher_that_is_not_there_is_no_crash(release: Release, tmp_path: Path) -> None:
    gone = dataclasses.replace(release, archive="http://127.0.0.1:9/x.tar.gz", checksums="http://127.0.0.1:9/sums.txt")
    with pytest.raises(UnavailableError, match="Connection refused"):
        downloaded(gone, tmp_path / "cache")

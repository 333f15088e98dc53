"""Charts of repositories are taken by content alone."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.charts import ChartError, archive_address, pinned_archive, served_digest

ARCHIVE = b"packaged"
DIGEST = hashlib.sha256(ARCHIVE).hexdigest()
INDEX = b"apiVersion: v1\nentries:\n  gpu-operator:\n  - {version: v25.3.4, urls: [charts/gpu-operator-v25.3.4.tgz]}\n"


class Repository(http.server.BaseHTTPRequestHandler):
    """A chart repository with one chart."""

    def do_GET(self) -> None:
        content = {
            "/r/index.yaml": INDEX,
            "/portal/index.yaml": b"<html>\n\t<a b: [c",
            "/list/index.yaml": b"entries: [1]",
            "/r/charts/gpu-operator-v25.3.4.tgz": ARCHIVE,
        }.get(self.path)
        self.send_response(200 if content else 404)
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def repository() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Repository) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/r"
        server.shutdown()


def test_an_archive_is_fetched_once_and_then_asked_of_nobody(repository: str, tmp_path: Path) -> None:
    found = pinned_archive(repository, "gpu-operator", "v25.3.4", DIGEST, tmp_path)
    assert found.read_bytes() == ARCHIVE
    assert pinned_archive("http://127.0.0.1:9", "gpu-operator", "v25.3.4", DIGEST, tmp_path) == found


def test_a_damaged_copy_is_fetched_again(repository: str, tmp_path: Path) -> None:
    found = pinned_archive(repository, "gpu-operator", "v25.3.4", DIGEST, tmp_path)
    found.write_bytes(b"damaged")
    assert pinned_archive(repository, "gpu-operator", "v25.3.4", DIGEST, tmp_path).read_bytes() == ARCHIVE


def test_another_content_is_refused_with_the_command_that_accepts_it(repository: str, tmp_path: Path) -> None:
    with pytest.raises(ChartError, match=rf"gpu_runtime.digest {DIGEST}"):
        pinned_archive(repository, "gpu-operator", "v25.3.4", "0" * 64, tmp_path)
    assert list(tmp_path.rglob("*.tgz")) == []


def test_a_missing_version_names_those_that_are_there(repository: str, tmp_path: Path) -> None:
    with pytest.raises(ChartError, match=r"no gpu-operator v1; newest there: v25.3.4"):
        pinned_archive(repository, "gpu-operator", "v1", DIGEST, tmp_path)
    with pytest.raises(ChartError, match="newest there: none"):
        archive_address({}, "https://x.example/", "gpu-operator", "v1")


def test_a_repository_that_answers_badly_is_named(repository: str, tmp_path: Path) -> None:
    with pytest.raises(ChartError, match="cannot be fetched from"):
        pinned_archive(f"{repository}/nowhere", "gpu-operator", "v25.3.4", DIGEST, tmp_path)


@pytest.mark.parametrize("place", ["portal", "list"])
def test_what_is_no_index_is_told_and_offers_nothing(repository: str, tmp_path: Path, place: str) -> None:
    address = repository.replace("/r", f"/{place}")
    with pytest.raises(ChartError, match="is no index of a chart repository"):
        pinned_archive(address, "gpu-operator", "v25.3.4", DIGEST, tmp_path)
    assert served_digest(address, "gpu-operator", "v25.3.4") is None

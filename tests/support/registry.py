"""A registry that takes what is pushed and forgets it at the end: the part of the distribution API that a push uses."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Registry(ThreadingHTTPServer):
    """On a free port of the loopback address."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.blobs: dict[str, bytes] = {}
        #: By repository and tag, or by repository and digest.
        self.manifests: dict[str, bytes] = {}

    @property
    def authority(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self.server_port}"


@contextmanager
def running_registry() -> Iterator[Registry]:
    """A registry for the time of a test."""
    with Registry() as registry:
        thread = threading.Thread(target=registry.serve_forever, daemon=True)
        thread.start()
        try:
            yield registry
        finally:
            registry.shutdown()
            thread.join(10)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Registry

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        """Says nothing."""

    def _answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/v2/":
            self._answer(200)
            return
        kind, _, name = path.rpartition("/")
        found = self.server.blobs.get(name) if kind.endswith("/blobs") else self.server.manifests.get(path)
        if found is None:
            self._answer(404)
            return
        self._answer(200, found, Docker_Content_Digest=f"sha256:{hashlib.sha256(found).hexdigest()}")

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        self._body()
        self._answer(202, Location=f"{urlsplit(self.path).path.rstrip('/')}/one")

    def do_PATCH(self) -> None:
        held = self._body()
        name = f"/held-{hashlib.sha256(held).hexdigest()}"
        self.server.blobs[name] = held
        self._answer(202, Location=f"{urlsplit(self.path).path}?held={name}", Range=f"0-{max(0, len(held) - 1)}")

    def do_PUT(self) -> None:
        body, parts = self._body(), urlsplit(self.path)
        query = parse_qs(parts.query)
        if "digest" in query:
            held = [self.server.blobs.pop(name) for name in query.get("held", [])]
            self.server.blobs[query["digest"][0]] = b"".join([*held, body])
            self._answer(201, Location=re.sub(r"uploads/.*", "", parts.path) + query["digest"][0])
            return
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        self.server.manifests[parts.path] = body
        self.server.manifests[f"{parts.path.rpartition('/')[0]}/{digest}"] = body
        self._answer(201, Docker_Content_Digest=digest)

"""The first processes of our containers: what they decide, without a server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.images.files import postgres, redis_server


def test_the_verifier_proves_the_published_exchange() -> None:
    """RFC 7677, section 3: user `user`, password `pencil`, and the server's signature of that exchange."""
    text = postgres.verifier("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
    method, counted, keys = text.split("$")
    assert (method, counted) == ("SCRAM-SHA-256", "4096:W22ZaJ0SNY7soEsUEjb6gQ==")
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    exchange = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}"
    server_key = base64.b64decode(keys.split(":")[1])
    signature = hmac.digest(server_key, exchange.encode(), "sha256")
    assert base64.b64encode(signature) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    assert len(base64.b64decode(keys.split(":")[0])) == hashlib.sha256().digest_size


def test_role_and_database_are_made_once_and_the_password_set_each_time() -> None:
    new = postgres.statements("chutes", "chutes", "SCRAM", set())
    assert new[0].startswith('CREATE ROLE "chutes"')
    assert new[1] == 'CREATE DATABASE "chutes" OWNER "chutes";'
    again = postgres.statements("chutes", "chutes", "SCRAM", {"role chutes", "database chutes"})
    assert len(again) == 1
    assert again[0].startswith('ALTER ROLE "chutes"')
    with pytest.raises(SystemExit, match="no name"):
        postgres.statements('x"; DROP', "chutes", "SCRAM", set())


def test_the_servers_memory_follows_the_containers() -> None:
    arguments = postgres.server_arguments({"MEMORY_MIB": "2048"})
    assert "shared_buffers=512MB" in arguments
    assert "effective_cache_size=1024MB" in arguments


def test_redis_gets_its_password_in_no_argument() -> None:
    text = redis_server.configuration("marker", 64)
    assert "requirepass marker\n" in text
    assert "maxmemory 64mb\n" in text
    for bad in ("", "two words", 'quo"te'):
        with pytest.raises(SystemExit, match="password file"):
            redis_server.configuration(bad, 64)


class Answer(socketserver.BaseRequestHandler):
    """A server that takes one password."""

    def handle(self) -> None:
        asked = self.request.recv(256)
        self.request.sendall(b"+OK\r\n+PONG\r\n" if b"AUTH right" in asked else b"-WRONGPASS\r\n-NOAUTH\r\n")


@pytest.fixture
def port() -> Iterator[int]:
    with socketserver.TCPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_the_check_takes_only_a_server_that_takes_the_password(port: int, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("right\n")
    redis_server.check({"PASSWORD_FILE": str(file)}, port=port)
    file.write_text("wrong\n")
    with pytest.raises(SystemExit, match="not ready: -WRONGPASS"):
        redis_server.check({"PASSWORD_FILE": str(file)}, port=port)

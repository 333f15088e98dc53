"""The first processes of our containers: what they decide, without a server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import socketserver
import subprocess
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
    assert "maxmemory 48mb\n" in text
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


@pytest.fixture
def initdb(tmp_path: Path) -> Path:
    """A folder with an `initdb` that writes PG_VERSION first, as the real one, and ends early where `killed` is."""
    program = tmp_path / "bin" / "initdb"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nmkdir -p "$2" && echo 15 > "$2/PG_VERSION"\n[ ! -e {tmp_path}/killed ] || kill -9 $$\n'
        'echo whole > "$2/base"\n'
    )
    program.chmod(0o755)
    return program.parent


def test_a_data_folder_that_a_killed_run_left_half_made_is_made_anew(initdb: Path, tmp_path: Path) -> None:
    data = tmp_path / "data" / "15"
    data.parent.mkdir()
    (tmp_path / "killed").touch()
    with pytest.raises(subprocess.CalledProcessError):
        postgres.initialise(initdb, data)
    (tmp_path / "killed").unlink()
    postgres.initialise(initdb, data)
    assert (data / "base").read_text() == "whole\n"
    assert [path.name for path in data.parent.iterdir()] == ["15"]
    (data / "base").write_text("rows")
    postgres.initialise(initdb, data)
    assert (data / "base").read_text() == "rows", "what is there stays"


def test_no_empty_database_is_made_beside_the_data_of_another_version(initdb: Path, tmp_path: Path) -> None:
    old = tmp_path / "data" / "15"
    old.mkdir(parents=True)
    (old / "PG_VERSION").write_text("15")
    with pytest.raises(SystemExit, match="of PostgreSQL 15, this server is 17"):
        postgres.initialise(initdb, old.with_name("17"))
    assert [path.name for path in old.parent.iterdir()] == ["15"]

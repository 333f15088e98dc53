"""PostgreSQL's programs on this machine, as the commands of `headframe backup` run those in the server's pod."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from sqlalchemy import make_url

from infra.cli.backup.database import DatabaseError, Server
from lab.services.postgres import EmbeddedPostgres


def run_here(command: Sequence[str], stdin: bytes) -> bytes:
    """Run a program; its failure is the database's."""
    done = subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=120)
    if done.returncode:
        raise DatabaseError(done.stderr.decode())
    return done.stdout


def server_of(postgres: EmbeddedPostgres, url: str) -> Server:
    """The database of an embedded server that the URL names."""
    database = make_url(url).database
    assert database is not None
    return Server(run_here, f"{postgres.binaries}/", ("-h", str(postgres.folder), "-U", "postgres"), database)

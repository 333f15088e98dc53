"""The restore drill on a real PostgreSQL with the fleet's own tables; it prints how long a restore takes."""

from __future__ import annotations

import secrets

import pytest

from infra.cli.backup.database import DatabaseError, drill
from lab.services.postgres import EmbeddedPostgres
from tests.support.local_postgres import server_of

pytestmark = pytest.mark.service


def test_a_dump_of_the_fleets_tables_is_restored_and_compared(
    postgres: EmbeddedPostgres, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server = server_of(postgres, database_url)
    database = server.database
    before = server.rows(database)
    assert sum(before.values()) > 0
    done = drill(server, server.dump(), f"drill_{secrets.token_hex(4)}")
    with capsys.disabled():
        print(f"\nrestore drill: {done}")
    assert done.tables == len(before)
    assert done.rows == sum(before.values())
    assert "drill_" not in server.run([f"{server.binaries}psql", *server.connection, "-lqt"], b"").decode()


def test_what_was_lost_comes_back_and_what_came_since_goes(postgres: EmbeddedPostgres, database_url: str) -> None:
    server = server_of(postgres, database_url)
    database = server.database
    before, dump = server.rows(database), server.dump()
    change = b"DROP TABLE servers CASCADE; CREATE TABLE since (id int);"
    server.run([f"{server.binaries}psql", *server.connection, "-q", "-d", database], change)
    assert server.rows(database) != before
    server.load(dump, database, clean=True)
    assert {name: count for name, count in server.rows(database).items() if name != "public.since"} == before


def test_a_dump_that_is_cut_off_changes_nothing(postgres: EmbeddedPostgres, database_url: str) -> None:
    server = server_of(postgres, database_url)
    database = server.database
    before, dump = server.rows(database), server.dump()
    with pytest.raises(DatabaseError):
        server.load(dump[: len(dump) // 2], database, clean=True)
    assert server.rows(database) == before
    with pytest.raises(DatabaseError):
        drill(server, dump[: len(dump) // 2], "drill_cut")

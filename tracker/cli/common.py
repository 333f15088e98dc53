"""What the commands share: options, settings, progress on stderr, output as table or JSON."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import orjson
from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy.ext.asyncio import AsyncEngine

from tracker.chain.connect import Endpoint
from tracker.chain.reader import ChainReader
from tracker.errors import NotEnoughSnapshotsError, StorageError
from tracker.files import parse_time
from tracker.history import block_at
from tracker.settings import TrackerSettings
from tracker.store.database import open_engine, shown_place
from tracker.store.store import Store


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """Options of every command; what is not given comes from TRACKER_* variables.

    Args:
        network: network name or websocket URL.
        dir: folder of the snapshot files.
        store: PostgreSQL URL or SQLite file.
        archive: websocket URL of an endpoint with all history.
        json: print JSON instead of tables.
    """

    network: str | None = None
    dir: Annotated[Path | None, Parameter(name=["--dir", "--snapshot-dir"])] = None
    store: str | None = None
    archive: str | None = None
    json: Annotated[bool, Parameter(negative="")] = False

    @property
    def settings(self) -> TrackerSettings:
        """Options over variables over defaults."""
        given = {"network": self.network, "dir": self.dir, "store": self.store, "archive": self.archive}
        return TrackerSettings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]

    @property
    def endpoint(self) -> Endpoint:
        settings = self.settings
        return Endpoint(settings.network, archives=None if settings.archive is None else [settings.archive])


DEFAULTS = Common()
_PIPE_WIDTH = 140


def utc_now() -> datetime:
    """The clock that commands hand to the library."""
    return datetime.now(UTC)


def out() -> Console:
    """Results go to stdout; a pipe or a log file gets wide tables instead of squeezed ones."""
    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def err() -> Console:
    """Progress and messages go to stderr, so that stdout can be piped."""
    return Console(stderr=True)


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")


@contextmanager
def progress(title: str) -> Iterator[Progress]:
    """A progress bar on stderr that leaves nothing behind."""
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err(), transient=True) as bar:
        yield bar


@asynccontextmanager
async def open_store(settings: TrackerSettings) -> AsyncIterator[tuple[AsyncEngine, Store]]:
    """The change store with every file of the folder taken in; files that are none are named on stderr."""
    from tracker.history_files import take_in  # noqa: PLC0415 - keeps `tracker cost` free of it

    async with open_engine(settings.store_place) as engine:
        store = Store(engine)
        with progress("taking files in") as bar:
            task = bar.add_task("", total=None)
            taken = await take_in(store, settings.dir, lambda done, of: bar.update(task, completed=done, total=of))
        for broken in taken.broken:
            err().print(f"skipped: {broken.reason}", style="yellow", markup=False, soft_wrap=True)
        yield engine, store


async def first_block_of(
    reader: ChainReader, since: datetime | None, days: float | None, first_block: int | None
) -> int:
    """The block at which a range starts, named in exactly one of three ways.

    Raises:
        ValueError: none or several were given.
    """
    given = [option for option in (since, days, first_block) if option is not None]
    if len(given) != 1:
        raise ValueError("say where to start with exactly one of --since, --days, --first-block")
    if first_block is not None:
        return first_block
    if since is not None:
        return await block_at(reader, parse_time(since.isoformat()))
    head = await reader.finalized()
    stamp = int(str(await reader.value("Timestamp.Now", head)))
    return await block_at(reader, datetime.fromtimestamp(stamp / 1000, tz=UTC) - timedelta(days=days or 0))


async def network_of(store: Store, settings: TrackerSettings, chosen: str | None) -> str:
    """The network to analyse: the one that was asked for, or the only one there is.

    Raises:
        NotEnoughSnapshotsError: there is no snapshot at all.
        StorageError: there are several and none was named.
    """
    networks = sorted({network for network, _ in await store.blocks()})
    if not networks:
        place = shown_place(settings.store_place)
        raise NotEnoughSnapshotsError(f"no snapshot in {settings.dir} or {place}: run `tracker snapshot`")
    if chosen is not None and chosen in networks:
        return chosen
    if len(networks) == 1:
        return networks[0]
    raise StorageError(f"there are snapshots of several networks ({', '.join(networks)}): name one with --network")

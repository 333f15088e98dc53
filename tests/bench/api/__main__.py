"""`python -m tests.bench.api`: authenticated requests per CPU second and latencies, the peer's and ours, in one run.

Both serve with one worker, from the same databases, alone on the same core, to the same generator, in turns; generator
and databases have the other cores. CPU time is read from /proc, so that a busy machine distorts ratios little.
Latencies are wall time and do suffer there: those of /ping, which needs no database, say how much.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import time
from dataclasses import dataclass
from typing import Final

import uvloop
from rich.console import Console
from rich.table import Table

from app.protocol.signing import Purpose
from lab.services.postgres import EmbeddedPostgres, temporary_folder
from lab.services.redis import EmbeddedRedis
from tests.bench.api.load import Result, paced, request, saturate
from tests.bench.api.rows import DEPLOYMENTS, REGISTRY_TOKEN, SERVERS, clear, fill
from tests.bench.api.serving import Cores, cpu_seconds, serving
from tests.support.api import environment, settings
from tests.support.control import MINER

ROUNDS: Final = 3
CONNECTIONS: Final = 32
PACED_SECONDS: Final = 5
REGISTRY_PER_SECOND: Final = 200
REGISTRY_SECONDS: Final = 10
OURS: Final = [sys.executable, "-m", "app.api", "--workers", "1", "--host", "127.0.0.1", "--port"]
PEER: Final = [
    sys.executable, "-m", "uvicorn", "--factory", "tests.bench.api.peer:create", "--http", "h11", "--loop", "asyncio",
    "--host", "127.0.0.1", "--port",
]  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where both are measured: the server's environment, the databases' processes, the cores."""

    variables: dict[str, str]
    databases: tuple[int, ...]
    cores: Cores


@dataclass(frozen=True)
class Side:
    """One side in one round: requests per CPU second of the server, and of server and databases together; latencies."""

    alone: float
    with_databases: float
    half_load: Result
    ping: Result


def signed(count: int) -> list[bytes]:
    """Requests for the list, each with a signature of its own."""
    nonce = str(int(time.time()) + 5)
    return [request("/servers/", MINER.management_headers(nonce, purpose=Purpose.MANAGEMENT)) for _ in range(count)]


def measure(command: list[str], count: int, place: Place) -> Side:
    """Full load for the requests per CPU second, then half of that rate for the latencies."""
    with serving(command, place.variables, place.cores) as (pid, port):
        uvloop.run(saturate(port, signed(50), 4))
        requests = signed(count)
        before, databases_before = cpu_seconds([pid]), cpu_seconds(place.databases)
        full = uvloop.run(saturate(port, requests, CONNECTIONS))
        spent, beside = cpu_seconds([pid]) - before, cpu_seconds(place.databases) - databases_before
        rate = full.per_second / 2
        half = uvloop.run(paced(port, signed(int(rate * PACED_SECONDS)), rate))
        pings = uvloop.run(paced(port, [request("/ping", {})] * int(rate * PACED_SECONDS), rate))
    for result in (full, half, pings):
        if result.refused:
            raise RuntimeError(f"{result.refused} of {result.answered} requests were refused: the figures mean nothing")
    return Side(full.answered / spent, full.answered / (spent + beside), half, pings)


def compare(what: str, place: Place, counts: tuple[int, int], report: Table) -> None:
    """Peer and ours in turns; the row holds the middle of the rounds, and the range of the ratio."""
    rounds = [(measure(PEER, counts[0], place), measure(OURS, counts[1], place)) for _ in range(ROUNDS)]
    ratios = sorted(ours.alone / peer.alone for peer, ours in rounds)
    together = statistics.median(ours.with_databases / peer.with_databases for peer, ours in rounds)
    peers, ours = zip(*rounds, strict=True)
    report.add_row(
        what,
        f"{statistics.median(side.alone for side in peers):.0f}",
        f"{statistics.median(side.alone for side in ours):.0f}",
        f"{statistics.median(ratios):.1f}x ({ratios[0]:.1f} to {ratios[-1]:.1f})",
        f"{together:.1f}x",
        _latencies([side.half_load for side in peers]),
        _latencies([side.half_load for side in ours]),
        _latencies([side.ping for side in ours]),
    )


def _latencies(results: list[Result]) -> str:
    """The middle round's p50 and p99, and its rate."""
    middle = sorted(results, key=lambda result: result.percentile_ms(0.99))[len(results) // 2]
    return f"{middle.percentile_ms(0.5):.1f} / {middle.percentile_ms(0.99):.1f} at {middle.per_second:.0f}/s"


def registry(place: Place) -> Result:
    """Registry authorisations at a steady rate."""
    headers = {"X-Headframe-Node-Token": REGISTRY_TOKEN, "X-Original-URI": "/v2/a/b/manifests/1"}
    raw = request("/registry/auth", headers)
    with serving(OURS, place.variables, place.cores) as (_, port):
        uvloop.run(saturate(port, [raw] * 50, 2))
        return uvloop.run(paced(port, [raw] * (REGISTRY_PER_SECOND * REGISTRY_SECONDS), REGISTRY_PER_SECOND))


def main() -> None:
    cores = Cores.shared_out()
    os.sched_setaffinity(0, cores.others)  # the databases inherit it
    folder = temporary_folder()
    report = Table(title=f"Authenticated requests, one worker each, middle of {ROUNDS} rounds")
    for column in ("list", "peer: per CPU s", "ours: per CPU s", "ratio (range)", "ratio with databases"):
        report.add_column(column)
    for column in ("peer, half load: p50 / p99 ms", "ours, half load: p50 / p99 ms", "ours, /ping at that rate"):
        report.add_column(column)
    try:
        with EmbeddedPostgres(folder / "data") as postgres, EmbeddedRedis(folder / "redis") as redis:
            postgres.create_database("bench")
            url = postgres.url("bench")
            main_process = int((postgres.folder / "postmaster.pid").read_text().split()[0])
            place = Place(environment(settings(url, redis.url)), (main_process, redis.process_id), cores)
            uvloop.run(clear(url))
            compare("empty", place, (600, 20_000), report)
            uvloop.run(fill(url))
            compare(f"{SERVERS} servers, {SERVERS * DEPLOYMENTS} deployments", place, (150, 10_000), report)
            found = registry(place)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    Console(width=200).print(report)
    print(
        f"registry auth at {REGISTRY_PER_SECOND}/s: p50 {found.percentile_ms(0.5):.1f} ms, "
        f"p99 {found.percentile_ms(0.99):.1f} ms, refused {found.refused} of {found.answered}"
    )
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; server on {sorted(cores.server)} alone")


if __name__ == "__main__":
    main()

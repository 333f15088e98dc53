"""The monitor under test as a process: starts it, and reads from /proc what it costs and what it waits for."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.protocol.signing import Signer
from tests.bench.monitor.load import Connection


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(grandchild for child in children for grandchild in _family(int(child)))]


def resident_mib(pid: int) -> float:
    """Memory of a process and all below it."""
    pages = sum(int(Path(f"/proc/{member}/statm").read_text().split()[1]) for member in _family(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and all below it, since their start."""
    fields = [Path(f"/proc/{member}/stat").read_text().rsplit(") ", 1)[1].split() for member in _family(pid)]
    return sum(int(stat[11]) + int(stat[12]) for stat in fields) / os.sysconf("SC_CLK_TCK")


def run_queue_seconds(pid: int) -> float:
    """How long a process has been ready to run and had no processor, since its start (proc_pid_schedstat)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


@contextmanager
def monitor_process(redis_url: str, seed: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A monitor that serves."""
    environment = os.environ | {
        "MINER_SS58": Signer.from_seed(seed).ss58,
        "MINER_SEED": seed,
        "REDIS_URL": redis_url,
        "BENCH_PORT": str(port),
    }
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.monitor.serve"], env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(15)


async def wait_until_serving(port: int) -> None:
    """Raises RuntimeError when nothing listens there in 30 s."""
    for _ in range(300):
        try:
            connection = await Connection.open(port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            await connection.close()
            return
    raise RuntimeError("the monitor did not start in 30 s")

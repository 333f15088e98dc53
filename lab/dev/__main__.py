"""`python -m lab.dev`: miner API, monitor if it is there, SIMULATED validator, embedded databases, seed data. No root.

Keys and data live in the state folder outside the clone; nothing of them is real.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import cyclopts
import orjson

from app.protocol.signing import Signer
from app.storage.__main__ import run as prepare_database
from infra.images.tools import cache_folder
from lab.services.postgres import EmbeddedPostgres
from lab.services.redis import EmbeddedRedis
from lab.validator.app import SimulatedValidator
from lab.validator.scenarios import steady_demand

DATABASE: Final = "chutes"
STOP_SECONDS: Final = 15

cli = cyclopts.App(name="python -m lab.dev", help="The control plane for development, no root needed.")


def state_folder() -> Path:
    """Where keys and data of development live: short, because PostgreSQL's socket lies below it."""
    return cache_folder() / "dev"


def key_file(folder: Path, name: str) -> Path:
    """A throw-away hotkey, made at the first start; readable by its owner alone, in btcli's format."""
    path = folder / f"{name}.json"
    if not path.exists():
        seed = secrets.token_hex(32)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps({"ss58Address": Signer.from_seed(seed).ss58, "secretSeed": f"0x{seed}"}))
    return path


@cli.default
def dev(*, port: int = 8080, monitor_port: int = 8081, workers: Annotated[int, cyclopts.Parameter()] = 1) -> None:
    """Start everything and serve until interrupted."""
    folder = state_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with EmbeddedPostgres(folder / "postgres") as postgres, EmbeddedRedis(folder / "redis") as redis:
        with contextlib.suppress(subprocess.CalledProcessError, RuntimeError):
            _create_database(postgres)
        asyncio.run(_serve(folder, postgres.url(DATABASE), redis.url, (port, monitor_port, workers)))


def _create_database(postgres: EmbeddedPostgres) -> None:
    """The second start finds it there."""
    postgres.create_database(DATABASE)


async def _serve(folder: Path, database_url: str, redis_url: str, numbers: tuple[int, int, int]) -> None:
    port, monitor_port, workers = numbers
    miner, validator_key = key_file(folder, "hotkey"), key_file(folder, "validator")
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    hotkey = orjson.loads(validator_key.read_bytes())["ss58Address"]
    async with SimulatedValidator(hotkey).listening() as validator:
        await steady_demand(validator)
        await prepare_database("seed", database_url, hotkey)
        environment = _environment(miner, validator, database_url, redis_url) | {
            "MONITOR_API": f"http://127.0.0.1:{monitor_port}",
            "PORT": str(monitor_port),
        }
        command = [
            sys.executable,
            "-m",
            "app.api",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--workers",
            str(workers),
        ]
        commands = [command]
        if importlib.util.find_spec("app.observe.__main__") is not None:
            commands.append([sys.executable, "-m", "app.observe"])
        with _processes(commands, environment) as running:
            _greet(port, monitor_port if len(commands) > 1 else None, miner, validator)
            while not stop.is_set() and all(process.poll() is None for process in running):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await stop.wait()


def _environment(miner: Path, validator: SimulatedValidator, database_url: str, redis_url: str) -> dict[str, str]:
    key = orjson.loads(miner.read_bytes())
    entry = {"hotkey": validator.state.hotkey, "api": validator.url, "socket": validator.url}
    return os.environ | {
        "MINER_SS58": key["ss58Address"],
        "MINER_SEED": key["secretSeed"],
        "VALIDATORS": orjson.dumps({"supported": [entry]}).decode(),
        "POSTGRESQL": database_url,
        "REDIS_URL": redis_url,
    }


@contextlib.contextmanager
def _processes(commands: list[list[str]], environment: dict[str, str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    running = [subprocess.Popen(command, env=environment) for command in commands]
    try:
        yield running
    finally:
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _greet(port: int, monitor_port: int | None, miner: Path, validator: SimulatedValidator) -> None:
    print(f"miner API            http://localhost:{port}   (documentation: /docs)")
    print(f"monitor              {f'http://localhost:{monitor_port}' if monitor_port else 'not started: not there'}")
    print(f"SIMULATED validator  {validator.url}   (state: /lab/state, log: /lab/log)")
    print(f"try                  chutes-miner local-inventory --hotkey {miner} --miner-api http://localhost:{port}")
    print("Servers, GPUs and demand are SIMULATED. Ctrl+C ends everything; the data stays.", flush=True)


if __name__ == "__main__":
    cli()

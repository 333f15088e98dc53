"""`make dev` starts without root, serves seed data to the commands, and ends when told."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import orjson
import pytest

from lab.services.redis import free_port
from tests.support.waiting import in_thread, until

pytestmark = pytest.mark.service


async def test_it_serves_seed_data_and_ends_when_told() -> None:
    port, monitor = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="hf-dev-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)  # noqa: ASYNC240 - before anything runs
        variables = os.environ | {"HEADFRAME_CACHE": folder}
        command = [sys.executable, "-m", "lab.dev", "--port", str(port), "--monitor-port", str(monitor)]
        process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: ASYNC220
        try:
            async with httpx.AsyncClient() as http:

                async def answers(url: str) -> bool:
                    try:
                        return (await http.get(url)).status_code == 200
                    except httpx.HTTPError:
                        return False

                await until(lambda: answers(f"http://127.0.0.1:{port}/ready"), seconds=120, every=0.3)
                await until(lambda: answers(f"http://127.0.0.1:{monitor}/ping"), seconds=60, every=0.3)
            key = Path(folder) / "dev" / "hotkey.json"
            assert key.stat().st_mode & 0o077 == 0
            listing = [
                sys.executable, "-m", "app.cli.main", "local-inventory", "--json", "--hotkey", str(key), "--miner-api",
                f"http://127.0.0.1:{port}",
            ]  # fmt: skip
            shown = await in_thread(lambda: subprocess.run(listing, capture_output=True, check=True, timeout=60))
            assert len(orjson.loads(shown.stdout)) == 3
        finally:
            process.terminate()
            assert await in_thread(lambda: process.wait(60)) == 0

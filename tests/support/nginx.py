"""A registry proxy as a node runs it: real nginx over rendered settings, on a free port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx

from app.protocol.registry_proxy_settings import ProxySettings, nginx_settings, token_settings
from lab.services.redis import free_port
from tests.support.waiting import until


@asynccontextmanager
async def registry_proxy(settings: ProxySettings, token: str, folder: Path) -> AsyncIterator[str]:
    """Its address; nginx ends with the block. Everything else of the settings is taken as given."""
    port = free_port()
    placed = replace(
        settings, listen=f"127.0.0.1:{port}", token_file=str(folder / "token.conf"), work_folder=str(folder)
    )
    (folder / "token.conf").write_text(token_settings(token))
    (folder / "nginx.conf").write_text(nginx_settings(placed))
    command = ["nginx", "-c", str(folder / "nginx.conf"), "-g", "daemon off; user root;"]
    with (folder / "nginx.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=asyncio.subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    try:
        await until(lambda: _answers(url))
        yield url
    finally:
        process.terminate()
        async with asyncio.timeout(15):
            await process.wait()


async def _answers(url: str) -> bool:
    try:
        async with httpx.AsyncClient(timeout=5) as http:
            return (await http.get(f"{url}/healthz")).status_code == 200
    except httpx.TransportError:
        return False

"""The miner API for tests: in process over ASGI, or as real worker processes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import orjson
import structlog
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from app.api.direct import DirectProtocol
from app.api.fastpath import FastPath
from app.api.main import create_app
from app.api.settings import Settings, SignatureStage
from app.api.verification import GravalBootstrap
from app.protocol.signing import Purpose, Request, nonce_v1, nonce_v2
from app.protocol.validators import ValidatorEntry, Validators
from lab.services.redis import free_port
from tests.support.control import MINER, VALIDATOR
from tests.support.waiting import until

NOWHERE = ValidatorEntry(hotkey=VALIDATOR.ss58, api="http://127.0.0.1:9", socket="http://127.0.0.1:9")


def settings(
    database_url: str,
    redis_url: str,
    *,
    validator: ValidatorEntry = NOWHERE,
    stage: SignatureStage = SignatureStage.OFF,
    leader: bool = False,
    **more: object,
) -> Settings:
    """Settings of a test's API, with the throw-away miner."""
    values: dict[str, object] = {
        "miner_ss58": MINER.ss58,
        "miner_seed": SecretStr(_seed()),
        "validators": Validators(supported=(validator,)),
        "postgresql": SecretStr(database_url),
        "redis_url": SecretStr(redis_url),
        "signature_stage": stage,
        "leader_enabled": leader,
    }
    return Settings.model_validate(values | more)


def _seed() -> str:
    return hashlib.sha256(b"headframe test key miner").hexdigest()


@contextlib.asynccontextmanager
async def running_app(
    config: Settings,
    *,
    clock: Callable[[], float] = time.time,
    graval: GravalBootstrap | None = None,
) -> AsyncIterator[FastAPI]:
    """The application in this process, started."""
    app = create_app(config, clock=clock, graval=graval)
    async with app.router.lifespan_context(app):
        await until(lambda: app.state.services.is_prepared)
        yield app


class ApiClient:
    """Signs every request afresh, version 1 or 2, as the miner."""

    def __init__(self, http: httpx.AsyncClient, *, version: int = 1, clock: Callable[[], float] = time.time) -> None:
        self.http = http
        self.version = version
        self.clock = clock

    def headers(
        self, method: str, target: str, body: bytes | None, purpose: Purpose = Purpose.MANAGEMENT
    ) -> dict[str, str]:
        """Fresh headers for one request."""
        if self.version == 2:
            nonce = nonce_v2(self.clock(), os.urandom(8))
            return MINER.management_headers_v2(nonce, Request(method, target), body=body or None)
        if body is None and method in ("POST", "PUT", "PATCH"):
            body = b""
        return MINER.management_headers(nonce_v1(self.clock()), purpose=purpose, body=body)

    async def send(
        self, method: str, target: str, body: object = None, purpose: Purpose = Purpose.MANAGEMENT
    ) -> httpx.Response:
        """One signed request."""
        raw = None if body is None else orjson.dumps(body)
        headers = self.headers(method, target, raw, purpose) | ({"Content-Type": "application/json"} if raw else {})
        return await self.http.request(method, target, content=raw, headers=headers)


@contextlib.asynccontextmanager
async def client_for(
    app: FastAPI, *, version: int = 1, clock: Callable[[], float] = time.time, peer: str = "192.0.2.12"
) -> AsyncIterator[ApiClient]:
    """A client of an application in this process, seen at the given address."""
    transport = httpx.ASGITransport(app=FastPath(app), client=(peer, 40000))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as http:
        yield ApiClient(http, version=version, clock=clock)


def environment(config: Settings) -> dict[str, str]:
    """The environment of a worker process with these settings."""
    named = {
        "MINER_SS58": config.miner_ss58,
        "MINER_SEED": config.miner_seed.get_secret_value(),
        "VALIDATORS": orjson.dumps(config.validators.model_dump()).decode(),
        "POSTGRESQL": config.postgresql.get_secret_value(),
        "REDIS_URL": config.redis_url.get_secret_value(),
        "LOG_LEVEL": "WARNING",
        "SIGNATURE_STAGE": config.signature_stage.value,
    }
    return os.environ | named


@contextlib.contextmanager
def processes(config: Settings, log: Path, *, workers: int = 1, port: int | None = None) -> Iterator[tuple[str, int]]:
    """The API as real processes; gives its address and the supervisor's process id, and ends it with the block."""
    port = port or free_port()
    command = [sys.executable, "-m", "app.api", "--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment(config), stdout=output, stderr=subprocess.STDOUT)
    try:
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.asynccontextmanager
async def serving(config: Settings) -> AsyncIterator[str]:
    """The API on a real port, in this process; gives its address."""
    app = create_app(config)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))  # stdout is commands'
    server = uvicorn.Server(
        uvicorn.Config(
            FastPath(app),
            http=DirectProtocol,
            host="127.0.0.1",
            port=0,
            log_level="error",
            proxy_headers=False,
            server_header=False,
        )
    )
    task = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started and app.state.services.is_prepared)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        structlog.reset_defaults()

"""The application: routes, answers to errors, and what runs beside requests. `create` is uvicorn's factory."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

from fastapi import FastAPI

from app.api import deployments, errors, health, leader, openapi, registry, servers, why
from app.api.fastpath import FastPath
from app.api.graval_node import NodeBootstrap
from app.api.registry import TokenCache
from app.api.services import open_services
from app.api.settings import Settings
from app.api.verification import GravalBootstrap
from app.protocol.program_log import configure_log

VERSION: Final = "0.1.0"
DESCRIPTION: Final = "Miner API of Headframe. Routes without a lock sign need no signature."


def create_app(
    settings: Settings, *, clock: Callable[[], float] = time.time, graval: GravalBootstrap | None = None
) -> FastAPI:
    """An application of these settings; nothing is opened before it starts."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        node = graval or NodeBootstrap(settings, clock)
        async with open_services(settings, clock=clock, graval=node) as services:
            app.state.services = services
            app.state.registry_tokens = TokenCache()
            task = asyncio.create_task(leader.lead(services))
            try:
                yield
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    app = FastAPI(title="Headframe miner API", version=VERSION, description=DESCRIPTION, lifespan=lifespan)
    errors.install(app)
    # `/servers/kubeconfig` and `/deployments/purge` stand before the routes that take an id.
    for router in (health.router, registry.router, servers.kubeconfig_router, servers.router, deployments.router):
        app.include_router(router)
    app.include_router(why.router)
    openapi.install(app, health.UNSIGNED)
    return app


def create() -> FastPath:
    """The application of the environment's settings."""
    configure_log(os.environ.get("LOG_LEVEL", "INFO"))
    settings = Settings()
    _ = settings.signer.ss58  # a wrong key is a start-up error, not a refused request later
    app = FastPath(create_app(settings))
    # What start-up made lives as long as the process: a full collection that walks it stops requests for nothing.
    gc.collect()
    gc.freeze()
    return app

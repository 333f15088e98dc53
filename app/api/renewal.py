"""Keeps stored kubeconfigs of bare nodes current: certificates are renewed on the node, and come here as Secrets (D17).

A Secret that is away or cannot be read changes nothing: what is stored stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import orjson
import structlog
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.kubeconfig import KubeconfigError, parse
from app.api.node_kubeconfigs import NodeKubeconfigError, NotGrantedError, node_kubeconfig
from app.api.services import Services
from app.storage.engine import OUTAGES
from app.storage.models import Server
from app.storage.sealing import SealError

PERIOD_SECONDS: Final = 300.0
Read = Callable[[str, str], Awaitable[str | None]]

log = structlog.get_logger(__name__)


async def keep_current(services: Services) -> None:
    """Look again and again, for as long as this process leads; at once where no namespace is set."""
    namespace = services.settings.node_kubeconfigs_namespace
    while namespace is not None:
        try:
            changed = await renew(services, namespace)
            if changed:
                log.info("stored kubeconfigs were renewed", servers=changed)
        except (*OUTAGES, SQLAlchemyError) as error:
            log.warning("stored kubeconfigs could not be compared", error=type(error).__name__)
        await asyncio.sleep(PERIOD_SECONDS)


async def renew(services: Services, namespace: str, read: Read = node_kubeconfig) -> list[str]:
    """Store what differs from the Secrets; names of the servers that got another kubeconfig."""
    async with AsyncSession(services.engine) as session:
        rows = (await session.execute(select(Server.server_id, Server.name, Server.kubeconfig))).all()
    changed = []
    for server_id, name, stored in rows:
        try:
            text = await read(namespace, name)
            current = None if text is None else orjson.dumps(parse(text).dump()).decode()
        except NotGrantedError:
            continue  # none of our own set-up: its kubeconfig came from its agent
        except (NodeKubeconfigError, KubeconfigError) as error:
            log.warning("a node's kubeconfig cannot be read; the stored one stays", server=name, error=str(error))
            continue
        if current is not None and current != _opened(services, server_id, stored or ""):
            await _store(services, server_id, current)
            changed.append(name)
    return changed


def _opened(services: Services, server_id: str, stored: str) -> str | None:
    try:
        return services.settings.vault.open(server_id, stored)
    except SealError:
        return None


async def _store(services: Services, server_id: str, text: str) -> None:
    settings = services.settings
    stored = settings.vault.seal(server_id, text) if settings.kubeconfig_sealed else text
    async with AsyncSession(services.engine) as session, session.begin():
        await session.execute(update(Server).where(Server.server_id == server_id).values(kubeconfig=stored))

"""A bare node that is reached at another address stays the same server: its chutes, GPUs and registration stay (D4).

Nothing is told to validators: they have no call for it, and learn a chute's address from its launch. A confidential
node's address is part of what was attested.
"""

from __future__ import annotations

import orjson
import structlog
from fastapi import HTTPException
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.adding import read_kubeconfig
from app.api.agents import AgentClient
from app.api.cluster import ClusterError, NodeFacts, connect
from app.api.kubeconfig import Kubeconfig, KubeconfigError, tls_warning
from app.api.services import Services
from app.protocol import labels
from app.storage.models import Server

log = structlog.get_logger(__name__)


async def move(services: Services, server: Server, agent_api: str) -> None:
    """Take over a server's new address, once the machine that answers there has shown that it is the same one.

    Raises:
        HTTPException: 400 or 502 as for adding; 409 where another machine answers, or the node is confidential.
    """
    if server.is_tee:
        raise HTTPException(
            409, f"{server.name} is confidential: its address was attested. Delete it, then add it with the new one"
        )
    agent, kubeconfig = await read_kubeconfig(services, server, agent_api)
    node = await _read(server.name, kubeconfig)
    if node.uid != server.server_id:
        raise HTTPException(409, f"another machine answers at {agent_api}: node {node.uid}, wanted {server.server_id}")
    address = node.labels.get(labels.EXTERNAL_IP)
    if not address:
        raise HTTPException(400, f"node {node.name} has no label {labels.EXTERNAL_IP}")
    await _store(services, server, node, agent, kubeconfig)
    log.info("a server has another address", server=server.name, was=server.ip_address, now=address)


async def _read(name: str, kubeconfig: Kubeconfig) -> NodeFacts:
    try:
        cluster, user = kubeconfig.access(name)
        if warning := tls_warning(cluster):
            log.warning(warning, server=name)
        async with connect(cluster, user) as nodes:
            return await nodes.read(name)
    except KubeconfigError as error:
        raise HTTPException(400, str(error)) from error
    except ClusterError as error:
        raise HTTPException(502, f"node {name} could not be read: {error}") from error


async def _store(
    services: Services, server: Server, node: NodeFacts, agent: AgentClient, kubeconfig: Kubeconfig
) -> None:
    text = orjson.dumps(kubeconfig.dump()).decode()
    settings = services.settings
    stored = settings.vault.seal(server.server_id, text) if settings.kubeconfig_sealed else text
    async with AsyncSession(services.engine) as session, session.begin():
        await session.execute(
            update(Server)
            .where(Server.server_id == server.server_id)
            .values(
                agent_api=agent.url,
                ip_address=node.labels[labels.EXTERNAL_IP],
                labels=dict(node.labels),
                kubeconfig=stored,
            )
        )

"""Adding a server: the checks before the stream, in the public order, with the public codes (spec: protocol 4)."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import HTTPException
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.agents import AgentClient, AgentError
from app.api.cluster import ClusterError, NodeFacts, connect
from app.api.kubeconfig import ClusterFields, Kubeconfig, KubeconfigError, UserFields, check_host, parse
from app.api.node_kubeconfigs import NodeKubeconfigError, node_kubeconfig
from app.api.services import Services
from app.protocol.servers import AddServer
from app.storage import servers
from app.validators.client import ValidatorClient
from app.validators.errors import ValidatorError


@dataclass(frozen=True)
class Candidate:
    """A server that passed the checks before the stream."""

    request: AddServer
    agent: AgentClient
    kubeconfig: Kubeconfig
    cluster: ClusterFields
    user: UserFields
    node: NodeFacts
    validator: ValidatorClient
    warning: str | None


async def check(services: Services, request: AddServer) -> Candidate:
    """Run the seven checks.

    Raises:
        HTTPException: 400, 502, 404, 409 or 500, as the public API answers.
    """
    if not request.agent_api:
        raise HTTPException(
            400, "agent_api is missing: the address of the node's agent, such as http://203.0.113.7:32000"
        )
    agent, kubeconfig = await _kubeconfig(services, request, request.agent_api)
    try:
        cluster, user = kubeconfig.access(request.name)
    except KubeconfigError as error:
        raise HTTPException(400, str(error)) from error
    warning = check_host(cluster, urlsplit(agent.url).hostname or "")
    try:
        async with connect(cluster, user) as nodes:
            node = await nodes.read(request.name)
    except ClusterError as error:
        raise HTTPException(404, f"node {request.name} could not be read: {error}") from error
    async with AsyncSession(services.engine) as session:
        if await servers.find(session, request.name) is not None:
            raise HTTPException(409, f"a server named {request.name} exists already")
    validator = await _check_gpu(services, request)
    return Candidate(request, agent, kubeconfig, cluster, user, node, validator, warning)


async def _kubeconfig(services: Services, request: AddServer, agent_api: str) -> tuple[AgentClient, Kubeconfig]:
    try:
        agent = AgentClient(agent_api, services.settings.signer, services.http, services.clock)
    except AgentError as error:
        raise HTTPException(400, str(error)) from error
    try:
        text = request.kubeconfig or await _own_kubeconfig(services, request.name) or await agent.kubeconfig()
        return agent, parse(text)
    except (AgentError, KubeconfigError, NodeKubeconfigError) as error:
        raise HTTPException(502, f"no kubeconfig from {agent.url}: {error}") from error


async def _own_kubeconfig(services: Services, name: str) -> str | None:
    """Of a node that was set up from here; None for all others."""
    namespace = services.settings.node_kubeconfigs_namespace
    return None if namespace is None else await node_kubeconfig(namespace, name)


async def _check_gpu(services: Services, request: AddServer) -> ValidatorClient:
    validator = services.validator(request.validator)
    if validator is None:
        known = [entry.hotkey for entry in services.settings.validators.supported]
        raise HTTPException(500, f"validator {request.validator} is not configured; VALIDATORS has {known}")
    try:
        supported = await validator.supported_gpus()
    except ValidatorError as error:
        raise HTTPException(500, f"the validator's list of GPUs could not be read: {error}") from error
    if request.gpu_short_ref not in supported:
        raise HTTPException(
            400, f"{request.gpu_short_ref} is no supported GPU; the validator takes {sorted(supported)}"
        )
    return validator

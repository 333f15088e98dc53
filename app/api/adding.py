"""Adding a server: the checks before the stream, in the public order, with the public codes (spec: protocol 4)."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import HTTPException
from sqlalchemy.ext.asyncio import AsyncSession

from app.api import claims
from app.api.agent_kubeconfig import must_name_its_machine
from app.api.agents import AgentClient, AgentError
from app.api.cluster import ClusterError, NodeFacts, connect
from app.api.kubeconfig import ClusterFields, Kubeconfig, KubeconfigError, UserFields, parse, tls_warning
from app.api.node_kubeconfigs import NodeKubeconfigError, NotGrantedError, node_kubeconfig
from app.api.services import Services
from app.protocol.servers import AddServer
from app.storage import servers
from app.storage.additions import NodeKind
from app.storage.models import Server
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
    agent, kubeconfig = await read_kubeconfig(services, request, request.agent_api)
    try:
        cluster, user = kubeconfig.access(request.name)
    except KubeconfigError as error:
        raise HTTPException(400, str(error)) from error
    try:
        async with connect(cluster, user) as nodes:
            node = await nodes.read(request.name)
    except ClusterError as error:
        raise HTTPException(404, f"node {request.name} could not be read: {error}") from error
    await _must_be_new(services, request.name)
    validator = await _check_gpu(services, request)
    return Candidate(request, agent, kubeconfig, cluster, user, node, validator, tls_warning(cluster))


async def _must_be_new(services: Services, name: str) -> None:
    """What an adding left that was killed is in nobody's way: it is removed once the name is claimed."""
    async with AsyncSession(services.engine) as session:
        if await servers.find(session, name) is None:
            return
        if await claims.leftover(session, name) is None:
            raise HTTPException(409, f"a server named {name} exists already")
    if not await claims.is_free(services.engine, name):
        raise HTTPException(409, f"a server named {name} is being added just now")


async def read_kubeconfig(
    services: Services, node: AddServer | Server, agent_api: str
) -> tuple[AgentClient, Kubeconfig]:
    """A node's agent, and its kubeconfig: the one that was given, else one of our own set-up, else the agent's.

    Raises:
        HTTPException: 400 for an address that is none, 502 where no kubeconfig can be had, or the agent's is another
            machine's.
    """
    try:
        agent = AgentClient(agent_api, services.settings.signer, services.http, services.clock)
    except AgentError as error:
        raise HTTPException(400, str(error)) from error
    try:
        own = await _own_kubeconfig(services, node)
        kubeconfig = parse(own or await agent.kubeconfig())
        if not own:
            await must_name_its_machine(kubeconfig, agent.url)
    except (AgentError, KubeconfigError, NodeKubeconfigError) as error:
        raise HTTPException(502, f"no kubeconfig from {agent.url}: {error}") from error
    return agent, kubeconfig


async def _own_kubeconfig(services: Services, node: AddServer | Server) -> str | None:
    """What came with the request, or of a node that was set up from here; None for all others."""
    given, kind = (node.kubeconfig, node.kind) if isinstance(node, AddServer) else (None, None)
    namespace = services.settings.node_kubeconfigs_namespace
    if given or namespace is None or kind == NodeKind.TEE.value:
        return given
    try:
        return await node_kubeconfig(namespace, node.name)
    except NotGrantedError:
        if kind == NodeKind.BARE.value:  # declared by a stack: its kubeconfig must not come over plain HTTP (D17)
            raise
        return None


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

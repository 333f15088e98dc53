"""What a registration says to the miner API, and how it waits for it. Knows no engine but its log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from app.protocol.servers import AddServer
from infra.provider.kinds.kind import Call, ProviderError
from infra.provider.miner_api import ListedServer, MinerApi, MinerApiError
from infra.provider.wire import Properties, plain_properties

T = TypeVar("T")

#: How the last message of a registration that worked begins (spec: protocol 4).
COMPLETED: Final = "completed server bootstrapping in"
#: How it ends where two additions of one node met.
BEING_ADDED: Final = "is being added by another request"
#: The API restarts, or waits for its database or for an agent that is just starting.
_PASSING: Final = frozenset({None, 502, 503, 504})
_TRIES: Final = 20
#: Somebody adds the same node just now: a run that was cut off goes on at the API for up to 15 minutes.
_ADDING: Final = 409
_ADDING_TRIES: Final = 160


@dataclass(frozen=True)
class Patience:
    """How often one act is tried: while the API is away, and while it adds this node for somebody else."""

    pause_seconds: float
    away: int = _TRIES
    adding: int = 1

    @classmethod
    def of_adding(cls, pause_seconds: float) -> Patience:
        """For a node that an earlier run, which was cut off, may still be adding."""
        return cls(pause_seconds, adding=_ADDING_TRIES)


async def patiently(call: Call, what: str, patience: Patience, act: Callable[[], Awaitable[T]]) -> T:
    """Do it, and again for as long as patience says.

    Raises:
        ProviderError: the API refused, or all of that took too long; begins with `what`.
    """
    left = {True: patience.adding, False: patience.away}
    while True:
        try:
            return await act()
        except MinerApiError as error:
            is_adding = error.status == _ADDING
            left[is_adding] -= 1
            if not left[is_adding] or not (is_adding or error.status in _PASSING):
                raise ProviderError(f"{what}: {error}") from error
            await call.log.progress(f"waiting for the miner API: {error}")
        await asyncio.sleep(patience.pause_seconds)


async def is_gone(api: MinerApi, name: str) -> bool:
    """Whether a list that was read lacks it; one that cannot be read now says nothing."""
    try:
        return named(await api.servers(), name) is None
    except MinerApiError as error:
        if error.status not in _PASSING:
            raise
        return False


async def registered(call: Call, api: MinerApi, wanted: AddServer) -> tuple[ListedServer, bool]:
    """The node as the API lists it, and whether it was there before.

    One without a verified GPU is being added by a run that was cut off, or was left by one that was killed: it is asked
    for again, and the API says 409 for as long as somebody works on it.
    """
    found = named(await api.servers(), wanted.name)
    if found is not None and found.agent_api != wanted.agent_api:
        raise ProviderError(
            f"the miner API has a server {found.name} at {found.agent_api}, this one is at {wanted.agent_api}: "
            f"chutes-miner delete-node --name {found.name}, then run this again"
        )
    if found is not None and found.verified_gpus:
        await call.log.info(f"{found.name} is registered already; it is taken over")
        return found, True
    last = "the miner API said nothing"
    async for message in api.add(wanted):
        last = message
        await call.log.info(message)
    if last.endswith(BEING_ADDED):
        raise MinerApiError(last, _ADDING)
    found = named(await api.servers(), wanted.name)
    if not last.startswith(COMPLETED):
        # Another run may have finished its addition between our look and our call, which then was refused.
        if found is not None and found.verified_gpus and found.agent_api == wanted.agent_api:
            await call.log.info(f"{found.name} was registered meanwhile; it is taken over")
            return found, True
        raise ProviderError(f"{wanted.name} was not registered: {last}")
    if found is None:
        raise ProviderError(f"{wanted.name} was registered and is not listed: run this again")
    return found, False


async def tell_all(api: MinerApi, name: str, found: ListedServer, new: Properties) -> None:
    """What was declared, to an API that knows the node from another run and may know other values."""
    if new.get("registryTokenSha256") is not None:
        await _tell_token(api, name, new)
    await _tell_cost(api, name, new)
    if new.get("drained") is not True and found.locked:
        await api.unlock(name)


async def tell_changes(api: MinerApi, name: str, old: Properties, new: Properties) -> None:
    """What changed, one call each. Another address of the API or another hotkey changes nothing there."""
    if old.get("agentApi") != new.get("agentApi"):
        await api.put(name, "address", {"agent_api": new.get("agentApi")})
    if old.get("registryTokenSha256") != new.get("registryTokenSha256"):
        await _tell_token(api, name, new)
    if old.get("hourlyCostUsd") != new.get("hourlyCostUsd"):
        await _tell_cost(api, name, new)
    if old.get("drained") != new.get("drained"):
        await (api.drain(name) if new.get("drained") is True else api.unlock(name))


async def _tell_token(api: MinerApi, name: str, new: Properties) -> None:
    await api.put(name, "registry-token", {"registry_token_sha256": new.get("registryTokenSha256")})


async def _tell_cost(api: MinerApi, name: str, new: Properties) -> None:
    await api.put(name, "hourly-cost", {"hourly_cost": new.get("hourlyCostUsd")})


def wanted_server(inputs: Properties) -> AddServer:
    """The body of the call that adds it.

    Raises:
        pydantic.ValidationError: the API would refuse it.
    """
    values = plain_properties(inputs)
    return AddServer.model_validate(
        {
            "name": values.get("node"),
            "validator": values.get("validator"),
            "hourly_cost": values.get("hourlyCostUsd"),
            "gpu_short_ref": values.get("gpu"),
            "agent_api": values.get("agentApi"),
            "kind": values.get("kind"),
            "registry_token_sha256": values.get("registryTokenSha256"),
        }
    )


def named(servers: Sequence[ListedServer], name: str) -> ListedServer | None:
    """The server of that name."""
    return next((server for server in servers if server.name == name), None)

"""`headframe:index:Registration`: a node at the miner API, read back on every run (D12).

A list that fails, or that lacks the node, removes nothing: the node is shown as not registered and added again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from pydantic import ValidationError

from app.protocol.servers import AddServer
from app.protocol.signing import Signer
from infra.provider.diff import Change, Difference, differences
from infra.provider.kinds.kind import Call, CheckFailure, Diff, ProviderError, ReadResult
from infra.provider.miner_api import HttpMinerApi, ListedServer, MinerApi, MinerApiError
from infra.provider.options import Options
from infra.provider.wire import UNKNOWN, Properties, has_unknown, plain_properties

#: How the last message of a registration that worked begins (spec: protocol 4).
COMPLETED: Final = "completed server bootstrapping in"
_OBSERVED: Final[tuple[str, ...]] = ("serverId", "registered", "verifiedGpus")
#: What the validator has verified: a change takes the server off and registers it anew.
_VERIFIED: Final = ("kind", "agentApi", "validator", "gpu")
#: The API restarts, or waits for its database or for an agent that is just starting.
_PASSING: Final = frozenset({None, 502, 503, 504})
_TRIES: Final = 20
_PAUSE_SECONDS: Final = 6.0
_REMOVAL_SECONDS: Final = 600.0

Open = Callable[[str, Signer], MinerApi]


class RegistrationResource:
    """Serves registrations through the miner API."""

    type: str = "headframe:index:Registration"
    refresh_before_update: bool = True

    def __init__(
        self, options: Options, *, open_api: Open = HttpMinerApi, pause_seconds: float = _PAUSE_SECONDS
    ) -> None:
        self._options = options
        self._open = open_api
        self._pause = pause_seconds

    def check(self, olds: Properties, news: Properties) -> tuple[Properties, Sequence[CheckFailure]]:
        """What the miner API would refuse is refused here."""
        del olds
        inputs: Properties = {key: value for key, value in news.items() if key not in _OBSERVED and value is not None}
        if has_unknown(inputs):
            return inputs, ()
        try:
            _wanted(inputs)
        except ValidationError as error:
            return inputs, [CheckFailure(str(item["loc"][0]), str(item["msg"])) for item in error.errors()]
        return inputs, ()

    def diff(self, old_inputs: Properties, old_outputs: Properties, news: Properties) -> Diff:
        """Inputs against inputs; a server that was not listed is to be added. Only another name is another node."""
        found = [
            Difference(item.path, item.change, replaces=item.path == "node") for item in differences(old_inputs, news)
        ]
        if old_outputs.get("registered") is False:
            found.append(Difference("registered", Change.UPDATE, from_state=True))
        return Diff(tuple(found), delete_before_replace=True)

    async def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        """Add the server; one that is there already, from a run that was cut off, is taken over."""
        if call.preview:
            return "", {**inputs, **dict.fromkeys(_OBSERVED, UNKNOWN)}
        return str(inputs["node"]), await self._ensure(call, inputs)

    async def update(self, call: Call, id: str, old_outputs: Properties, news: Properties) -> Properties:  # noqa: A002
        """Add what was not listed, register anew what is another machine, else tell the API what changed."""
        carried = {key: old_outputs[key] for key in _OBSERVED if key in old_outputs}
        if call.preview:
            return {**news, **carried, "registered": True}
        if old_outputs.get("registered") is False:
            return await self._ensure(call, news)
        if any(old_outputs.get(key) != news.get(key) for key in _VERIFIED):
            await self.delete(call, id, old_outputs)
            return await self._ensure(call, news)
        api = self._api(news)
        try:
            await _tell(api, id, old_outputs, news)
        except MinerApiError as error:
            raise ProviderError(f"{id}: {error}") from error
        return {**news, **carried}

    async def read(self, call: Call, id: str, inputs: Properties, outputs: Properties) -> ReadResult:  # noqa: A002
        """What the API lists. Without an answer everything stays as it was known."""
        if not outputs:
            raise ProviderError(f"{id} cannot be imported: declare it, and `pulumi up` takes over what is registered")
        if not self._options.refresh_hosts:
            return ReadResult(id, inputs, outputs)
        try:
            found = _named(await self._api(outputs).servers(), id)
        except MinerApiError as error:
            await call.log.warning(f"{id}: its registration cannot be read: {error}. Its last known state is kept.")
            return ReadResult(id, inputs, outputs)
        if found is None:
            await call.log.warning(f"the miner API lists no server {id}: it will be registered again")
            return ReadResult(id, inputs, {**outputs, "registered": False, "verifiedGpus": 0})
        return ReadResult(id, inputs, {**outputs, **_observed(found)})

    async def delete(self, call: Call, id: str, outputs: Properties) -> None:  # noqa: A002
        """Have the server removed and wait until a list that was read lacks it."""
        api = self._api(outputs)
        try:
            await api.remove(id)
            async with asyncio.timeout(call.timeout_seconds or _REMOVAL_SECONDS):
                while not await self._is_gone(api, id):
                    await call.log.progress("waiting until its chutes have ended")
                    await asyncio.sleep(self._pause)
        except MinerApiError as error:
            raise ProviderError(
                f"{id} is still registered: {error}. If the control host is gone for good: pulumi state delete URN"
            ) from error
        except TimeoutError:
            raise ProviderError(
                f"{id} is being removed and not gone yet; see `headframe why`, then run this again"
            ) from None

    async def _is_gone(self, api: MinerApi, name: str) -> bool:
        try:
            return _named(await api.servers(), name) is None
        except MinerApiError as error:
            if error.status not in _PASSING:
                raise
            return False

    async def _ensure(self, call: Call, inputs: Properties) -> Properties:
        api, wanted = self._api(inputs), _wanted(inputs)
        for attempt in range(_TRIES):
            try:
                found = await self._registered(call, api, wanted)
                if inputs.get("drained") is True:
                    await api.drain(wanted.name)
                return {**inputs, **_observed(found)}
            except MinerApiError as error:
                if error.status not in _PASSING or attempt == _TRIES - 1:
                    raise ProviderError(f"{wanted.name} was not registered: {error}") from error
                await call.log.progress(f"waiting for the miner API: {error}")
            await asyncio.sleep(self._pause)
        raise AssertionError("the last attempt returns or raises")

    async def _registered(self, call: Call, api: MinerApi, wanted: AddServer) -> ListedServer:
        found = _named(await api.servers(), wanted.name)
        if found is not None:
            return await _taken_over(call, found, wanted)
        last = "the miner API said nothing"
        async for message in api.add(wanted):
            last = message
            await call.log.info(message)
        if not last.startswith(COMPLETED):
            raise ProviderError(f"{wanted.name} was not registered: {last}")
        found = _named(await api.servers(), wanted.name)
        if found is None:
            raise ProviderError(f"{wanted.name} was registered and is not listed: run this again")
        return found

    def _api(self, properties: Properties) -> MinerApi:
        values = plain_properties(properties)
        return self._open(str(values["minerApi"]), Signer.from_seed(str(values["seed"])))


async def _taken_over(call: Call, found: ListedServer, wanted: AddServer) -> ListedServer:
    if found.agent_api != wanted.agent_api or not found.verified_gpus:
        seen = f"at {found.agent_api}" if found.agent_api != wanted.agent_api else "without a verified GPU"
        raise ProviderError(
            f"the miner API has a server {found.name} {seen}: "
            f"chutes-miner delete-node --name {found.name}, then run this again"
        )
    await call.log.info(f"{found.name} is registered already; it is taken over")
    return found


async def _tell(api: MinerApi, name: str, old: Properties, new: Properties) -> None:
    """What changed, one call each. Another address of the API or another hotkey changes nothing there."""
    if old.get("registryTokenSha256") != new.get("registryTokenSha256"):
        await api.put(name, "registry-token", {"registry_token_sha256": new.get("registryTokenSha256")})
    if old.get("hourlyCostUsd") != new.get("hourlyCostUsd"):
        await api.put(name, "hourly-cost", {"hourly_cost": new.get("hourlyCostUsd")})
    if old.get("drained") != new.get("drained"):
        await (api.drain(name) if new.get("drained") is True else api.unlock(name))


def _wanted(inputs: Properties) -> AddServer:
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


def _named(servers: Sequence[ListedServer], name: str) -> ListedServer | None:
    return next((server for server in servers if server.name == name), None)


def _observed(found: ListedServer) -> Properties:
    return {"serverId": found.server_id, "registered": True, "verifiedGpus": found.verified_gpus}

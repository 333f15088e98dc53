"""`headframe:index:Registration`: a node at the miner API, read back on every run (D12).

A list that fails, or that lacks the node, removes nothing: the node is shown as not registered and added again. Another
address of a bare node is told and removes nothing either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from pydantic import ValidationError

from app.protocol.signing import Signer
from infra.provider.diff import Change, Difference, differences
from infra.provider.kinds.kind import Call, CheckFailure, Diff, ProviderError, ReadResult
from infra.provider.kinds.registration_calls import (
    Patience,
    is_gone,
    named,
    patiently,
    registered,
    tell_all,
    tell_changes,
    wanted_server,
)
from infra.provider.miner_api import HttpMinerApi, ListedServer, MinerApi, MinerApiError
from infra.provider.options import Options
from infra.provider.wire import UNKNOWN, Properties, has_unknown, plain_properties

_OBSERVED: Final[tuple[str, ...]] = ("serverId", "registered", "verifiedGpus")
#: What the validator has verified: a change takes the server off and registers it anew.
_VERIFIED: Final = ("kind", "validator", "gpu")
_PAUSE_SECONDS: Final = 6.0
_REMOVAL_SECONDS: Final = 600.0
#: Of the looks whether a node is gone; each waits twice as long as the one before, up to the pause of everything else.
_FIRST_PAUSE_SECONDS: Final = 0.5

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
        #: Where an API went during this run, and its hotkey's seed there; the state of what is removed knows the old.
        self._moved: dict[str, tuple[str, str]] = {}

    def check(self, olds: Properties, news: Properties) -> tuple[Properties, Sequence[CheckFailure]]:
        """What the miner API would refuse is refused here."""
        inputs: Properties = {key: value for key, value in news.items() if key not in _OBSERVED and value is not None}
        if has_unknown(inputs):
            return inputs, ()
        try:
            wanted_server(inputs)
        except ValidationError as error:
            return inputs, [CheckFailure(str(item["loc"][0]), str(item["msg"])) for item in error.errors()]
        if olds.get("minerApi") and not has_unknown(olds):
            now = plain_properties(inputs)
            self._moved[str(olds["minerApi"])] = (str(now["minerApi"]), str(now["seed"]))
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
        if _is_verified_anew(old_outputs, news):
            await self._remove(call, id, self._api(news))
            return await self._ensure(call, news)
        tell = partial(tell_changes, self._api(news), id, old_outputs, news)
        await patiently(call, id, Patience(self._pause), tell)
        return {**news, **carried}

    async def read(self, call: Call, id: str, inputs: Properties, outputs: Properties) -> ReadResult:  # noqa: A002
        """What the API lists. Without an answer everything stays as it was known."""
        if not outputs:
            raise ProviderError(f"{id} cannot be imported: declare it, and `pulumi up` takes over what is registered")
        if not self._options.refresh_hosts:
            return ReadResult(id, inputs, outputs)
        try:
            found = named(await self._api(outputs).servers(), id)
        except MinerApiError as error:
            await call.log.warning(f"{id}: its registration cannot be read: {error}. Its last known state is kept.")
            return ReadResult(id, inputs, outputs)
        if found is None:
            await call.log.warning(f"the miner API lists no server {id}: it will be registered again")
            return ReadResult(id, inputs, {**outputs, "registered": False, "verifiedGpus": 0})
        return ReadResult(id, inputs, {**outputs, **_observed(found)})

    async def delete(self, call: Call, id: str, outputs: Properties) -> None:  # noqa: A002
        """Have the server removed and wait until a list that was read lacks it."""
        await self._remove(call, id, self._api(outputs, follow=True))

    async def _remove(self, call: Call, name: str, api: MinerApi) -> None:
        try:
            await api.remove(name)
            async with asyncio.timeout(call.timeout_seconds or _REMOVAL_SECONDS):
                pause = min(_FIRST_PAUSE_SECONDS, self._pause)
                while not await is_gone(api, name):
                    await call.log.progress("waiting until its chutes have ended")
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, self._pause)
        except MinerApiError as error:
            raise ProviderError(
                f"{name} is still registered: {error}. If the control host is gone for good: pulumi state delete URN"
            ) from error
        except TimeoutError:
            raise ProviderError(
                f"{name} is being removed and not gone yet; see `headframe why`, then run this again"
            ) from None

    async def _ensure(self, call: Call, inputs: Properties) -> Properties:
        api, wanted = self._api(inputs), wanted_server(inputs)

        async def once() -> ListedServer:
            found, was_there = await registered(call, api, wanted)
            if was_there:
                await tell_all(api, wanted.name, found, inputs)
            if inputs.get("drained") is True:
                await api.drain(wanted.name)
            return found

        patience = Patience.of_adding(self._pause)
        found = await patiently(call, f"{wanted.name} was not registered", patience, once)
        return {**inputs, **_observed(found)}

    def _api(self, properties: Properties, *, follow: bool = False) -> MinerApi:
        values = plain_properties(properties)
        address, seed = str(values["minerApi"]), str(values["seed"])
        if follow:
            address, seed = self._moved.get(address, (address, seed))
        return self._open(address, Signer.from_seed(seed))


def _is_verified_anew(old: Properties, new: Properties) -> bool:
    """Whether the validator must look again. The address of a confidential node is part of what was attested."""
    moved = old.get("agentApi") != new.get("agentApi")
    return any(old.get(key) != new.get(key) for key in _VERIFIED) or (moved and new.get("kind") == "tee")


def _observed(found: ListedServer) -> Properties:
    return {"serverId": found.server_id, "registered": True, "verifiedGpus": found.verified_gpus}

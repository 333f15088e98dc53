"""The Registration kind over an acted miner API: adds, takes over, reads back, and never takes silence for absence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from app.protocol.servers import AddServer
from app.protocol.signing import Signer
from infra.provider.kinds.kind import Call, ProviderError
from infra.provider.kinds.registration import RegistrationResource
from infra.provider.kinds.registration_calls import COMPLETED
from infra.provider.log import EngineLog, ResourceLog
from infra.provider.miner_api import ListedGpu, ListedServer, MinerApiError
from infra.provider.options import Options
from infra.provider.wire import UNKNOWN, Properties, secret
from tests.support.settings import HOTKEY, HOTKEY_SEED

T = TypeVar("T")
AGENT = "http://9.0.0.11:32000"
INPUTS: Properties = {
    "node": "gpu-0",
    "kind": "bare",
    "minerApi": "http://9.0.0.10:32000",
    "agentApi": AGENT,
    "validator": HOTKEY,
    "gpu": "h100_sxm",
    "hourlyCostUsd": 2.1,
    "drained": False,
    "seed": secret(HOTKEY_SEED),
    "registryTokenSha256": "ab" * 32,
}


def listed(
    name: str = "gpu-0", *, agent: str = AGENT, verified: bool = True, locked: bool | None = False
) -> ListedServer:
    gpus = (ListedGpu(verified=verified), ListedGpu(verified=verified))
    return ListedServer(server_id=f"id-{name}", name=name, agent_api=agent, gpus=gpus, locked=locked)


@dataclass
class ActedApi:
    """A miner API without a network. `silent` calls fail first, with `status`.

    For `adding` calls somebody else is at it; what that comes to is `becomes`: a server, or None where it is undone.
    """

    found: dict[str, ListedServer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    silent: int = 0
    status: int | None = None
    last: str = f"{COMPLETED} 1.0 seconds"
    leaves_after: int = 1
    adding: int = 0
    becomes: ListedServer | None = None
    refuses_address: bool = False

    async def servers(self) -> tuple[ListedServer, ...]:
        self.asked.append("list")
        self._fail()
        return tuple(self.found.values())

    async def add(self, server: AddServer) -> AsyncIterator[str]:
        self.asked.append("add")
        assert server.kubeconfig is None, "a kubeconfig must not travel over plain HTTP"
        if self.adding:
            self.adding -= 1
            if not self.adding:
                self.found.pop(server.name, None)
                self.found |= {} if self.becomes is None else {server.name: self.becomes}
            raise MinerApiError("a server of that name is being added just now", 409)
        yield "attempting to add node"
        if self.last.startswith(COMPLETED):
            self.found[server.name] = listed(server.name, agent=server.agent_api or "")
        yield self.last

    async def remove(self, name: str) -> None:
        self.asked.append("remove")
        self._fail()
        self.leaves_after -= 1
        if self.leaves_after <= 0:
            self.found.pop(name, None)

    async def put(self, name: str, what: str, body: dict[str, Any]) -> None:
        self.asked.append(f"put {name} {what} {next(iter(body.values()))}")
        if what == "address" and self.refuses_address:
            raise MinerApiError("another machine answers there", 409)

    async def drain(self, name: str) -> None:
        self.asked.append(f"drain {name}")

    async def unlock(self, name: str) -> None:
        self.asked.append(f"unlock {name}")

    def _fail(self) -> None:
        if self.silent:
            self.silent -= 1
            raise MinerApiError("nobody answers", self.status)


def kind(api: ActedApi, *, refresh: bool = True) -> RegistrationResource:
    def opened(address: str, signer: Signer) -> ActedApi:
        assert (address, signer.ss58) == ("http://9.0.0.10:32000", HOTKEY)
        return api

    return RegistrationResource(Options(refresh_hosts=refresh), open_api=opened, pause_seconds=0)


def run(awaitable: Awaitable[T]) -> T:
    async def _run() -> T:
        return await awaitable

    return asyncio.run(_run())


def call(*, preview: bool = False, timeout_seconds: float | None = 5) -> Call:
    return Call("urn", "gpu-0-registration", ResourceLog(EngineLog(""), "urn"), timeout_seconds, preview)


def registered(**changes: Any) -> Properties:
    return {**INPUTS, "serverId": "id-gpu-0", "registered": True, "verifiedGpus": 2, **changes}


def test_a_node_is_added_once_and_its_id_is_known() -> None:
    api = ActedApi()
    id_, outputs = run(kind(api).create(call(), INPUTS))
    assert (id_, outputs["serverId"], outputs["registered"], outputs["verifiedGpus"]) == ("gpu-0", "id-gpu-0", True, 2)
    assert api.asked == ["list", "add", "list"]


def test_a_preview_calls_nobody() -> None:
    api = ActedApi()
    _, outputs = run(kind(api).create(call(preview=True), INPUTS))
    assert (outputs["serverId"], api.asked) == (UNKNOWN, [])
    assert (
        run(kind(api).update(call(preview=True), "gpu-0", registered(registered=False), INPUTS))["registered"] is True
    )
    assert api.asked == []


def test_what_a_killed_run_registered_is_taken_over_and_not_added_twice() -> None:
    api = ActedApi({"gpu-0": listed()})
    _, outputs = run(kind(api).create(call(), INPUTS))
    assert outputs["serverId"] == "id-gpu-0"
    assert "add" not in api.asked


def test_a_take_over_tells_everything_because_the_api_may_know_the_values_of_another_run() -> None:
    api = ActedApi({"gpu-0": listed(locked=True)})
    run(kind(api).create(call(), INPUTS))
    told = [f"put gpu-0 registry-token {'ab' * 32}", "put gpu-0 hourly-cost 2.1"]
    assert api.asked == ["list", *told, "unlock gpu-0"]
    drained = ActedApi({"gpu-0": listed(locked=True)})
    run(kind(drained).create(call(), {**INPUTS, "drained": True}))
    assert drained.asked == ["list", *told, "drain gpu-0"]


def test_a_server_of_that_name_at_another_address_is_left_alone() -> None:
    api = ActedApi({"gpu-0": listed(agent="http://9.9.9.9:32000")})
    with pytest.raises(ProviderError, match=r"at http://9\.9\.9\.9:32000.*delete-node --name gpu-0"):
        run(kind(api).create(call(), INPUTS))
    assert api.asked == ["list"]


def test_a_bootstrap_of_a_run_that_was_cut_off_is_waited_for_and_its_node_taken_over() -> None:
    api = ActedApi({"gpu-0": listed(verified=False)}, adding=3, becomes=listed())
    _, outputs = run(kind(api).create(call(), INPUTS))
    assert (outputs["registered"], outputs["verifiedGpus"]) == (True, 2)
    assert api.asked[:7] == ["list", "add", "list", "add", "list", "add", "list"]
    assert api.asked[7].startswith("put gpu-0 registry-token")


def test_an_addition_that_met_another_one_waits_for_it() -> None:
    api = ActedApi(last="failed to bootstrap the server: a server named gpu-0 is being added by another request")
    asked, seen = api.add, 0

    async def add(server: AddServer) -> AsyncIterator[str]:
        nonlocal seen
        seen += 1
        if seen == 2:
            api.last = f"{COMPLETED} 1.0 seconds"
        async for message in asked(server):
            yield message

    api.add = add  # type: ignore[method-assign]
    assert run(kind(api).create(call(), INPUTS))[1]["registered"] is True
    assert api.asked == ["list", "add", "list", "add", "list"]


class LateApi(ActedApi):
    """Another run's addition ends between our look and our call, which the API refuses therefore."""

    async def add(self, server: AddServer) -> AsyncIterator[str]:
        self.found[server.name] = listed(server.name, agent=server.agent_api or "")
        async for message in super().add(server):
            yield message


def test_an_addition_that_another_run_was_faster_with_is_taken_over() -> None:
    api = LateApi(last="failed to bootstrap the server: duplicate server: gpu-0 is known already")
    _, outputs = run(kind(api).create(call(), INPUTS))
    assert (outputs["registered"], outputs["serverId"]) == (True, "id-gpu-0")
    assert f"put gpu-0 registry-token {'ab' * 32}" in api.asked


def test_a_bootstrap_that_came_to_nothing_is_done_again() -> None:
    api = ActedApi({"gpu-0": listed(verified=False)}, adding=2, becomes=None)
    _, outputs = run(kind(api).create(call(), INPUTS))
    assert outputs["verifiedGpus"] == 2
    assert api.asked == ["list", "add", "list", "add", "list", "add", "list"]


def test_what_a_killed_bootstrap_left_is_asked_for_again_and_never_taken_for_registered() -> None:
    api = ActedApi({"gpu-0": listed(verified=False)})
    _, outputs = run(kind(api).create(call(), INPUTS))
    assert (outputs["verifiedGpus"], api.asked) == (2, ["list", "add", "list"])


def test_a_node_that_somebody_adds_for_ever_is_named_at_last() -> None:
    api = ActedApi({"gpu-0": listed(verified=False)}, adding=10_000)
    with pytest.raises(ProviderError, match=r"gpu-0 was not registered.*being added just now"):
        run(kind(api).create(call(), INPUTS))
    assert api.asked.count("add") == 160


def test_the_api_is_waited_for_and_a_refusal_is_not_repeated() -> None:
    api = ActedApi(silent=3)
    run(kind(api).create(call(), INPUTS))
    assert api.asked == ["list"] * 4 + ["add", "list"]
    refused = ActedApi(silent=1, status=401)
    with pytest.raises(ProviderError, match="was not registered"):
        run(kind(refused).create(call(), INPUTS))
    assert refused.asked == ["list"]


def test_only_the_last_message_says_that_it_worked() -> None:
    api = ActedApi(last="failed to bootstrap the server: a GPU did not hold its proof")
    with pytest.raises(ProviderError, match="did not hold its proof"):
        run(kind(api).create(call(), INPUTS))


def test_an_api_that_does_not_answer_changes_nothing_that_is_known() -> None:
    read = run(kind(ActedApi(silent=1)).read(call(), "gpu-0", INPUTS, registered()))
    assert (read.id, read.outputs) == ("gpu-0", registered())


def test_a_list_without_the_node_is_no_deletion_but_drift_that_is_repaired() -> None:
    api = ActedApi({"other": listed("other")})
    resource = kind(api)
    read = run(resource.read(call(), "gpu-0", INPUTS, registered()))
    assert (read.id, read.outputs["registered"]) == ("gpu-0", False)
    (found,) = resource.diff(INPUTS, read.outputs, INPUTS).differences
    assert (found.path, found.from_state, found.replaces) == ("registered", True, False)
    outputs = run(resource.update(call(), "gpu-0", read.outputs, INPUTS))
    assert (outputs["registered"], "add" in api.asked, "remove" in api.asked) == (True, True, False)


def test_reading_can_be_switched_off() -> None:
    api = ActedApi()
    assert run(kind(api, refresh=False).read(call(), "gpu-0", INPUTS, registered())).outputs == registered()
    assert api.asked == []


def test_what_changed_is_told_and_nothing_else() -> None:
    api = ActedApi({"gpu-0": listed()})
    news = {**INPUTS, "hourlyCostUsd": 3.0, "drained": True, "registryTokenSha256": "cd" * 32}
    outputs = run(kind(api).update(call(), "gpu-0", registered(), news))
    assert api.asked == [f"put gpu-0 registry-token {'cd' * 32}", "put gpu-0 hourly-cost 3.0", "drain gpu-0"]
    assert outputs["serverId"] == "id-gpu-0"
    run(kind(api).update(call(), "gpu-0", {**outputs}, {**news, "drained": False}))
    assert api.asked[-1] == "unlock gpu-0"


def test_another_address_is_told_and_removes_nothing() -> None:
    api = ActedApi({"gpu-0": listed()})
    news = {**INPUTS, "agentApi": "http://9.0.0.99:32000"}
    resource = kind(api)
    assert not any(item.replaces for item in resource.diff(INPUTS, registered(), news).differences)
    outputs = run(resource.update(call(), "gpu-0", registered(), news))
    assert api.asked == ["put gpu-0 address http://9.0.0.99:32000"]
    assert (outputs["serverId"], outputs["verifiedGpus"]) == ("id-gpu-0", 2)


def test_another_machine_at_the_new_address_is_an_error_at_once_and_removes_nothing() -> None:
    api = ActedApi({"gpu-0": listed()}, refuses_address=True)
    with pytest.raises(ProviderError, match="another machine answers there"):
        run(kind(api).update(call(), "gpu-0", registered(), {**INPUTS, "agentApi": "http://9.0.0.99:32000"}))
    assert api.asked == ["put gpu-0 address http://9.0.0.99:32000"]


def test_the_address_of_a_confidential_node_was_attested_and_is_registered_anew() -> None:
    api = ActedApi({"gpu-0": listed()})
    news = {**INPUTS, "kind": "tee", "agentApi": "http://9.0.0.99:32000"}
    run(kind(api).update(call(), "gpu-0", registered(kind="tee"), news))
    assert api.asked == ["remove", "list", "list", "add", "list"]


@pytest.mark.parametrize("change", [{"gpu": "a100"}, {"validator": "5" + "A" * 47}, {"kind": "tee"}])
def test_what_was_verified_is_verified_anew(change: Properties) -> None:
    api = ActedApi({"gpu-0": listed()})
    run(kind(api).update(call(), "gpu-0", registered(), {**INPUTS, **change}))
    assert api.asked == ["remove", "list", "list", "add", "list"]


def moved_kind(api: ActedApi, opened: list[str]) -> RegistrationResource:
    def open_api(address: str, signer: Signer) -> ActedApi:
        opened.append(f"{address} {signer.ss58[:3]}")
        return api

    return RegistrationResource(Options(), open_api=open_api, pause_seconds=0)


def test_a_removal_goes_to_the_address_that_the_api_has_moved_to() -> None:
    opened: list[str] = []
    news = {**INPUTS, "minerApi": "http://9.0.0.20:32000"}
    api = ActedApi({"gpu-0": listed()})
    resource = moved_kind(api, opened)
    run(resource.update(call(), "gpu-0", registered(), {**news, "gpu": "a100"}))
    assert set(opened) == {f"http://9.0.0.20:32000 {HOTKEY[:3]}"}

    opened.clear()
    resource.check(INPUTS, news)  # another node of the same run told where the API is now
    run(resource.delete(call(), "gpu-0", registered()))
    assert opened == [f"http://9.0.0.20:32000 {HOTKEY[:3]}"]


def test_a_removal_waits_for_a_list_that_lacks_the_node_and_a_failed_list_does_not_count() -> None:
    api = ActedApi({"gpu-0": listed()}, leaves_after=0)
    run(kind(api).delete(call(), "gpu-0", registered()))
    assert api.asked == ["remove", "list"]
    stays = ActedApi({"gpu-0": listed()}, leaves_after=9)
    with pytest.raises(ProviderError, match="not gone yet"):
        run(kind(stays).delete(call(timeout_seconds=0.05), "gpu-0", registered()))
    away = ActedApi({"gpu-0": listed()}, silent=1)
    with pytest.raises(ProviderError, match="still registered"):
        run(kind(away).delete(call(), "gpu-0", registered()))


def test_inputs_that_the_api_would_refuse_are_refused_here() -> None:
    resource = kind(ActedApi())
    inputs, found = resource.check({}, {**INPUTS, "hourlyCostUsd": -1, "serverId": None})
    assert ([item.property for item in found], "serverId" in inputs) == (["hourly_cost"], False)
    assert resource.check({}, {**INPUTS, "registryTokenSha256": UNKNOWN})[1] == ()
    assert resource.check({}, INPUTS)[1] == ()

"""Only an agent's status 409 means that it runs already; the same digits in words or addresses mean nothing."""

from __future__ import annotations

import time

import httpx
import pytest

from app.api.agents import AgentClient, AgentError, check_agent_url
from tests.support.control import MINER


def _agent(statuses: dict[str, list[int]], asked: list[str]) -> AgentClient:
    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(statuses[request.url.path].pop(0), json={"detail": "see ticket 409"})

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return AgentClient("http://node-409.example:32000", MINER, http, time.time)


async def test_one_that_runs_is_stopped_and_told_again() -> None:
    asked: list[str] = []
    statuses = {"/monitor/start": [409, 200], "/monitor/stop": [409]}
    await _agent(statuses, asked).start_monitoring("http://monitor:32001")
    assert asked == ["/monitor/start", "/monitor/stop", "/monitor/start"]


async def test_one_that_fails_is_not_taken_for_one_that_runs() -> None:
    asked: list[str] = []
    agent = _agent({"/monitor/start": [500], "/monitor/stop": [500]}, asked)
    with pytest.raises(AgentError, match="500"):
        await agent.start_monitoring("http://monitor:32001")
    assert asked == ["/monitor/start"]
    with pytest.raises(AgentError, match="500"):
        await agent.stop_monitoring()


async def test_one_that_cannot_be_reached_yet_is_waited_for_and_told_once() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if len(asked) == 1:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json={})

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    await AgentClient("http://node.example:32000", MINER, http, time.time).start_monitoring("http://monitor:32001")
    assert asked == ["/monitor/start", "/monitor/start"]


@pytest.mark.parametrize(("failure", "times"), [(httpx.ConnectError("refused"), 2), (httpx.ReadTimeout("late"), 1)])
async def test_the_wait_ends_and_what_was_perhaps_heard_is_not_said_again(failure: Exception, times: int) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        raise failure

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    agent = AgentClient("http://node.example:32000", MINER, http, time.time, patience_seconds=0.5)
    with pytest.raises(AgentError, match=type(failure).__name__):
        await agent.start_monitoring("http://monitor:32001")
    assert asked == ["/monitor/start"] * times


@pytest.mark.parametrize(
    "url", ["ftp://x", "http://", "http://[::1", "http://a:b@x", "http://x:99999", "http://x/?q=1"]
)
def test_what_is_no_address_is_said_to_be_none(url: str) -> None:
    with pytest.raises(AgentError, match="looks like"):
        check_agent_url(url)

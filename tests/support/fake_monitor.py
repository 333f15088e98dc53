"""A monitor that only writes down what agents send and answers as a test tells it. A test's peer, never a product."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.serving import serving


@dataclass(frozen=True)
class Call:
    """One request as it arrived."""

    name: str
    body: Any
    headers: dict[str, str]
    at: float


@dataclass
class FakeMonitor:
    """`answers` maps a call (register, replace, event, heartbeat, unregister) to statuses, used up from the left;
    the last one stays."""

    answers: dict[str, list[int]] = field(default_factory=dict)
    details: dict[int, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    url: str = ""

    def names(self) -> list[str]:
        return [call.name for call in self.calls]

    def events(self) -> list[tuple[str, str]]:
        found = [call.body["event"] for call in self.calls if call.name == "event"]
        return [(event["type"], event["object"]["metadata"]["name"]) for event in found]

    async def handle(self, request: Request) -> Response:
        body = await request.body()
        path = request.url.path.removeprefix("/api/v1/clusters/").partition("/")[2]
        name = {
            ("POST", ""): "register",
            ("PUT", "resources"): "replace",
            ("PATCH", "resources"): "event",
            ("POST", "events"): "events",
            ("PUT", "health"): "heartbeat",
            ("DELETE", ""): "unregister",
        }.get((request.method, path), "unknown")
        self.calls.append(Call(name, orjson.loads(body) if body else None, dict(request.headers), time.monotonic()))
        queue = self.answers.get(name, [200])
        status = queue.pop(0) if len(queue) > 1 else queue[0]
        detail = self.details.get(status, f"told to answer {status}")
        return Response(orjson.dumps({"detail": detail}), status, self.headers, media_type="application/json")


@asynccontextmanager
async def fake_monitor(**answers: list[int]) -> AsyncIterator[FakeMonitor]:
    """Serve until the block ends."""
    fake = FakeMonitor(answers)
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    app = Starlette(routes=[Route("/{path:path}", fake.handle, methods=methods)])
    async with serving(app) as url:
        fake.url = url
        yield fake

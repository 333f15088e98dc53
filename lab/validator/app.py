"""The simulated validator as one object: state, faults, feed and web application, with its lab-only control routes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from aiohttp import web

from lab.validator import inference, launches, lists, machines, pods, registry
from lab.validator.faults import Fault, FaultKind, Faults
from lab.validator.feed import FeedServer
from lab.validator.library import Library, read_archive
from lab.validator.proving import GravalProver
from lab.validator.scenarios import OF_ONE_CHUTE, SCENARIOS
from lab.validator.state import State
from lab.validator.web import FAULTS, STATE, frame, read_json, reply


class SimulatedValidator:
    """SIMULATED. Drive it in process, or over `/lab/...` when it runs as a process of its own.

    With `graval` bare nodes and their launches are proved over protocol ogv1; without it they are believed.
    """

    def __init__(
        self,
        hotkey: str,
        *,
        clock: Callable[[], float] = time.time,
        prover: machines.Prover | None = None,
        graval: GravalProver | None = None,
    ) -> None:
        self.state = State(hotkey, clock)
        self.faults = Faults()
        self.feed = FeedServer(self.state)
        self.background: set[asyncio.Task[None]] = set()
        self.app = web.Application(middlewares=[frame], client_max_size=64 * 1024 * 1024)
        self.app[STATE] = self.state
        self.app[FAULTS] = self.faults
        self.app[machines.FEED] = self.feed
        self.app[machines.PROVER] = prover or (graval.prove if graval is not None else None)
        self.app[machines.TASKS] = self.background
        self.app[pods.GRAVAL] = graval
        self.library = Library()
        self.app[registry.LIBRARY] = self.library
        self.feed.server.attach(self.app)
        for module in (lists, launches, pods, machines, registry, inference):
            self.app.add_routes(module.routes())
        self.app.add_routes(self._control())

    @property
    def url(self) -> str:
        """Base address, once it listens."""
        return self.state.api_url

    @asynccontextmanager
    async def listening(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[SimulatedValidator]:
        """Serve until the block ends. Port 0 takes a free one, which a second call takes again."""
        runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port)
            await site.start()
            bound = runner.addresses[0][1]
            self.state.api_url = f"http://{host}:{bound}"
            yield self
        finally:
            for task in list(self.background):
                task.cancel()
            await self.feed.disconnect_all()
            await runner.cleanup()

    def _control(self) -> list[web.RouteDef]:
        return [
            web.get("/", self._greet),
            web.get("/lab/state", self._state),
            web.get("/lab/log", self._log),
            web.post("/lab/faults", self._fault),
            web.delete("/lab/faults", self._behave),
            web.post("/lab/stand-in-image", self._serve_image),
            web.post("/lab/scenarios/{name}", self._play),
            web.post("/lab/events", self._event),
        ]

    async def _greet(self, _: web.Request) -> web.Response:
        return reply({"message": "SIMULATED validator of the Headframe lab", "scenarios": sorted(SCENARIOS)})

    async def _state(self, _: web.Request) -> web.Response:
        names = ("chutes", "images", "nodes", "servers", "instances", "rolling_updates", "bounties", "capacity")
        found = {name: getattr(self.state, name) for name in names}
        return reply(found | {"sessions": sorted(self.feed.sessions), "simulated": True})

    async def _log(self, request: web.Request) -> web.Response:
        limit = int(request.query.get("limit", "200"))
        asked = [asdict(line) for line in list(self.state.asked)[-limit:]]
        return reply({"asked": asked, "counts": dict(self.state.counts), "sent": list(self.state.sent)[-limit:]})

    async def _fault(self, request: web.Request) -> web.Response:
        body = await read_json(request)
        kind = FaultKind(str(body.pop("kind")))
        self.faults.add(Fault(kind=kind, **body))  # type: ignore[arg-type]
        return reply({"faults": len(self.faults.rules)})

    async def _behave(self, _: web.Request) -> web.Response:
        self.faults.clear()
        return reply({"faults": 0})

    async def _serve_image(self, request: web.Request) -> web.Response:
        """Another archive of the stand-in chute, by its path on this machine."""
        body = await read_json(request)
        self.library.stand_in = await asyncio.to_thread(read_archive, Path(str(body["archive"])))
        return reply({"digest": self.library.stand_in.digest})

    async def _play(self, request: web.Request) -> web.Response:
        scenario, named = SCENARIOS.get(request.match_info["name"]), dict(request.query)
        if scenario is None:
            return reply({"detail": f"no such scenario; there are {sorted(SCENARIOS)}"}, 404)
        if named and (request.match_info["name"] not in OF_ONE_CHUTE or named.keys() != {"chute_id"}):
            return reply({"detail": f"only chute_id may be told, and only to {sorted(OF_ONE_CHUTE)}"}, 400)
        if named and named["chute_id"] not in self.state.chutes:
            return reply({"detail": f"no such chute; there are {sorted(self.state.chutes)}"}, 404)
        task = asyncio.ensure_future(scenario(self, **named))
        self.background.add(task)
        task.add_done_callback(self.background.discard)
        return reply({"playing": request.match_info["name"]})

    async def _event(self, request: web.Request) -> web.Response:
        await self.feed.send_raw(await read_json(request))
        return reply({"sent": 1})

"""What a running chute answers on its ports: liveness, metrics, logs, and an echo in place of a model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from aiohttp import web


class ChuteServer:
    """Two ports: requests (8000 in a pod) and logs (8001)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.answered = 0
        self.is_active = False
        self.ports: list[int] = []

    @asynccontextmanager
    async def listening(self, host: str, ports: tuple[int, ...]) -> AsyncIterator[ChuteServer]:
        """Serve on all ports until the block ends; port 0 takes a free one."""
        app = web.Application()
        app.router.add_get("/_alive", self._alive)
        app.router.add_get("/_metrics", self._metrics)
        app.router.add_get("/logs", self._logs)
        app.router.add_post("/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            for port in ports:
                await web.TCPSite(runner, host, port).start()
            self.ports = [address[1] for address in runner.addresses]
            yield self
        finally:
            await runner.cleanup()

    async def _alive(self, _: web.Request) -> web.Response:
        return web.json_response({"alive": True, "simulated": True})

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=f'invocation_total{{status="200",simulated="true"}} {self.answered}\n')

    async def _logs(self, _: web.Request) -> web.Response:
        return web.Response(text=f"SIMULATED chute {self.name}: {self.answered} requests answered\n")

    async def _answer(self, request: web.Request) -> web.Response:
        if not self.is_active:
            return web.json_response({"detail": "the chute is not active yet"}, status=503)
        self.answered += 1
        body = await request.read()
        answer = {"simulated": True, "path": request.path, "received_bytes": len(body), "number": self.answered}
        return web.Response(body=orjson.dumps(answer), content_type="application/json")

"""The simulated node on a real websocket, with the faults that a test can ask for and pages for the test's driver.

HTTP pages on the same port: `/_log`, `/_reset`, `/_set?...`, `/_truth?a=&b=`, `/_state?block=`, `/_chain`.
Listens on loopback only.
"""

from __future__ import annotations

import asyncio
import http
import json
import time
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, urlsplit

from websockets import ConnectionClosed
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from lab.chain.chain import Chain
from lab.chain.rpc import Methods, RpcError
from lab.chain.scale import ss58

RESPONSE_LIMIT_BYTES: Final = 15 * 1024 * 1024


@dataclass(frozen=True)
class Refusal:
    """An answer to the handshake instead of a connection."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"refused\n"


@dataclass
class Faults:
    """What goes wrong, and how often. The plain numbers can be set over `/_set`."""

    tick_every: int = 0  # a new head after so many requests
    delay_ms: int = 0  # latency; requests in flight overlap
    drop_next: int = 0  # connections cut at the next so many frames
    drop_at: dict[str, int] = field(default_factory=dict)  # method -> connections still to cut at it
    size_limit: int = RESPONSE_LIMIT_BYTES
    withhold_rows: int = 0  # rows that every answer for several storage keys lacks
    fail_next: dict[str, int] = field(default_factory=dict)  # method -> internal errors still to give
    refusal: Refusal | None = None


class Node:
    """One simulated endpoint."""

    def __init__(self, chain: Chain, faults: Faults | None = None, *, pruned: bool = False) -> None:
        self.chain, self.faults = chain, faults or Faults()
        self.methods = Methods(chain)
        self.methods.pruned = pruned
        self.calls: list[dict[str, object]] = []
        self.connections = 0
        self.handshakes = 0
        self._since_tick = 0
        self._subscriptions = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> Server:
        """Listen; port 0 takes a free one."""
        return await serve(
            self._session,
            host,
            port,
            max_size=2**26,
            process_request=self._page,
            compression=None,
            ping_interval=None,
        )

    def _answer(self, request: dict[str, object]) -> dict[str, object]:
        method = str(request.get("method"))
        parameters = request.get("params") or []
        if self.faults.fail_next.get(method, 0) > 0:
            self.faults.fail_next[method] -= 1
            return {"error": {"code": -32603, "message": "Internal error (injected)"}}
        if method.startswith(("chain_subscribe", "state_subscribe")):
            self._subscriptions += 1
            return {"result": f"sub{self._subscriptions}"}
        if method.startswith(("chain_unsubscribe", "state_unsubscribe")):
            return {"result": True}
        try:
            result = self.methods.call(method, parameters if isinstance(parameters, list) else [])
        except RpcError as error:
            return {"error": error.body}
        return {"result": self._withheld(result) if method == "state_queryStorageAt" else result}

    def _withheld(self, result: object) -> object:
        """An answer that lacks rows, as from an endpoint whose database is damaged."""
        left_out = self.faults.withhold_rows
        if not left_out or not isinstance(result, list) or len(result[0]["changes"]) <= left_out:
            return result
        changes = result[0]["changes"]
        kept = [
            [key, None] if place >= len(changes) - left_out else [key, value]
            for place, (key, value) in enumerate(changes)
        ]
        return [{**result[0], "changes": kept}]

    def _tick(self) -> None:
        self._since_tick += 1
        if self.faults.tick_every and self._since_tick >= self.faults.tick_every:
            self._since_tick = 0
            self.chain.head += 1

    def _reply(self, connection: int, request: dict[str, object], received_bytes: int) -> dict[str, object]:
        started = time.perf_counter()
        reply = {"jsonrpc": "2.0", "id": request.get("id"), **self._answer(request)}
        size = len(json.dumps(reply))
        if size > self.faults.size_limit:
            problem = {"code": -32008, "message": "Response is too big", "data": f"limit {self.faults.size_limit}"}
            reply = {"jsonrpc": "2.0", "id": request.get("id"), "error": problem}
        parameters = json.dumps(request.get("params"))
        self.calls.append(
            {
                "connection": connection,
                "method": request.get("method"),
                "params": parameters if len(parameters) <= 200 else f"{parameters[:120]}...({len(parameters)} chars)",
                "received": received_bytes,
                "sent": size,
                "ms": round((time.perf_counter() - started) * 1000, 2),
            }
        )
        self._tick()
        return reply

    async def _session(self, socket: ServerConnection) -> None:
        self.connections += 1
        connection = self.connections
        async for text in socket:
            frame = json.loads(text)
            batch = frame if isinstance(frame, list) else [frame]
            if self._drops(batch):
                socket.transport.abort()
                return
            replies = [self._reply(connection, request, len(text) // len(batch)) for request in batch]
            out: object = replies if isinstance(frame, list) else replies[0]
            if self.faults.delay_ms:
                task = asyncio.create_task(self._send_later(socket, out))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                await socket.send(json.dumps(out))

    def _drops(self, batch: list[dict[str, object]]) -> bool:
        """Whether the connection is cut at this frame."""
        if self.faults.drop_next > 0:
            self.faults.drop_next -= 1
            return True
        for request in batch:
            method = str(request.get("method"))
            if self.faults.drop_at.get(method, 0) > 0:
                self.faults.drop_at[method] -= 1
                return True
        return False

    async def _send_later(self, socket: ServerConnection, out: object) -> None:
        await asyncio.sleep(self.faults.delay_ms / 1000)
        try:
            await socket.send(json.dumps(out))
        except ConnectionClosed:
            return

    def _page(self, connection: ServerConnection, request: Request) -> Response | None:
        url = urlsplit(request.path)
        if url.path in ("", "/"):
            self.handshakes += 1
            refusal = self.faults.refusal
            if refusal is None:
                return None
            phrase = http.HTTPStatus(refusal.status).phrase
            return Response(refusal.status, phrase, Headers(refusal.headers), refusal.body)
        query = {name: int(values[0]) for name, values in parse_qs(url.query).items()}
        pages = {
            "/_log": lambda: self.calls,
            "/_reset": self._reset,
            "/_set": lambda: self._set(query),
            "/_truth": lambda: self.truth(query["a"], query["b"]),
            "/_state": lambda: self.right_answer(query.get("block", self.chain.finalized)),
            "/_chain": self._clock,
        }
        if url.path not in pages:
            return connection.respond(http.HTTPStatus.NOT_FOUND, "no\n")
        return connection.respond(http.HTTPStatus.OK, json.dumps(pages[url.path]()) + "\n")

    def _reset(self) -> str:
        self.calls = []
        return "ok"

    def _set(self, values: dict[str, int]) -> dict[str, int]:
        for name, value in values.items():
            if name in ("head", "lag", "fork"):
                setattr(self.chain, name, value)
            elif name == "pruned":
                self.methods.pruned = bool(value)
            elif name in ("tick_every", "delay_ms", "drop_next", "size_limit"):
                setattr(self.faults, name, value)
        return values

    def truth(self, after: int, until: int) -> list[dict[str, object]]:
        """Everything that happened to a uid in the blocks after `after` up to `until`."""
        self.chain.state(self.chain.head)
        return [
            {
                "block": row.block,
                "netuid": row.netuid,
                "uid": row.uid,
                "kind": row.kind.value,
                "old": row.old and ss58(row.old),
                "new": row.new and ss58(row.new),
            }
            for row in self.chain.truth
            if after < row.block <= until
        ]

    def right_answer(self, block: int) -> dict[int, dict[str, object]]:
        """What a snapshot of this block must hold."""
        return {
            netuid: {
                "n": len(subnet.hotkeys),
                "burn": subnet.burn_at(block),
                "registered_at": subnet.registered_at,
                "uids": {uid: ss58(hotkey) for uid, hotkey in enumerate(subnet.hotkeys)},
                "registered": dict(enumerate(subnet.registered)),
            }
            for netuid, subnet in sorted(self.chain.state(block).items())
            if subnet.exists
        }

    def _clock(self) -> dict[str, int]:
        return {
            "head": self.chain.head,
            "finalized": self.chain.finalized,
            "base": self.chain.base_block,
            "head_time_ms": self.chain.time_milliseconds(self.chain.head),
            "connections": self.connections,
        }

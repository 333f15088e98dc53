"""The list of servers, answered as soon as its head is read: no ASGI request is made for it (docs/adr/0060).

Uvicorn's protocol stays in charge of the connection: keep-alive, pipelined requests, a graceful end. What is not the
plain list over HTTP/1.1 goes the usual way, and so does a list that waits behind another request.
"""

from __future__ import annotations

from typing import Final

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.api.corked import CorkedProtocol
from app.api.fastpath import LIST_PATH, FastPath, Headers

_LIST: Final = LIST_PATH.encode()
_FAILURE: Final = (500, b"Internal Server Error", [(b"content-type", b"text/plain; charset=utf-8")])

log = structlog.get_logger(__name__)


class _Unheard:
    """Stands for the event by which an ASGI application would be told of its body."""

    def set(self) -> None:
        """Nobody waits."""


_UNHEARD: Final = _Unheard()


class _Exchange:
    """A list that is being answered, with what uvicorn's protocol asks of a request under way."""

    __slots__ = ("body", "disconnected", "keep_alive", "message_event", "more_body", "response_complete")

    def __init__(self, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False
        self.message_event = _UNHEARD
        self.body = bytearray()
        self.more_body = True


class DirectProtocol(CorkedProtocol):
    """For `uvicorn.Config(http=...)`."""

    def on_headers_complete(self) -> None:
        """As uvicorn's, but for the list."""
        app = self.app
        if not (isinstance(app, FastPath) and self._is_plain_list()):
            super().on_headers_complete()
            return
        exchange = _Exchange(keep_alive=self.parser.should_keep_alive())
        self.cycle = exchange  # type: ignore[assignment]
        task = self.loop.create_task(self._answer(app, exchange, self.headers))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _is_plain_list(self) -> bool:
        return (
            self.url == _LIST
            and self.parser.get_method() == b"GET"
            and (self.cycle is None or self.cycle.response_complete)
            and self.parser.get_http_version() == "1.1"
            and not self.expect_100_continue
            and not self.parser.should_upgrade()
            and self.limit_concurrency is None
        )

    async def _answer(self, app: FastPath, exchange: _Exchange, headers: Headers) -> None:
        try:
            answer = await app.servers(headers)
        except Exception:  # whatever it is, the client gets an answer, and the log the reason
            log.exception("the list of servers failed")
            answer, exchange.keep_alive = _FAILURE, False
        if self.flow.write_paused and not exchange.disconnected:
            await self.flow.drain()
        if exchange.disconnected:
            return
        status, body, more = answer
        parts = [STATUS_LINE[status]]
        for name, value in (*self.server_state.default_headers, *more):
            parts += (name, b": ", value, b"\r\n")
        if not exchange.keep_alive:
            parts.append(b"connection: close\r\n")
        parts += (b"content-length: ", str(len(body)).encode(), b"\r\n\r\n", body)
        self.corked.write_now(b"".join(parts))
        exchange.response_complete = True
        if not exchange.keep_alive:
            self.transport.close()
        self.on_response_complete()

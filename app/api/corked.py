"""HTTP over uvicorn's own protocol, an answer's head and body in one packet.

Uvicorn writes both by themselves: two system calls and two wake-ups of the client for every small answer. What is
written within one turn of the event loop goes out together here; nothing else changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Corked(asyncio.Transport):
    """A transport that gathers what is written until the event loop's next turn; everything else is the inner one's."""

    def __init__(self, inner: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._inner = inner
        self._loop = loop
        self._parts: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Gather; the first part of a turn orders the flush at its end."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(bytes(data))

    def write_now(self, data: bytes) -> None:
        """Write something whole, after what was gathered."""
        self._flush()
        if not self._inner.is_closing():
            self._inner.write(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Gather several parts."""
        for data in list_of_data:
            self.write(data)

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._inner.is_closing():
            self._inner.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def close(self) -> None:
        """Close once everything is out."""
        self._flush()
        self._inner.close()

    def abort(self) -> None:
        """Close at once; what was gathered is lost, as what the inner one holds."""
        self._parts = []
        self._inner.abort()

    def write_eof(self) -> None:
        """End the writing side once everything is out."""
        self._flush()
        self._inner.write_eof()

    def is_closing(self) -> bool:
        """Whether it is closed or closing."""
        return self._inner.is_closing()

    def pause_reading(self) -> None:
        """Stop receiving."""
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        """Receive again."""
        self._inner.resume_reading()

    def get_extra_info(self, name: str, default: object = None) -> Any:
        """What the inner one knows of the connection."""
        return self._inner.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection to another protocol."""
        self._flush()
        self._inner.set_protocol(protocol)


class CorkedProtocol(HttpToolsProtocol):
    """For `uvicorn.Config(http=...)`."""

    corked: Corked

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As uvicorn's, over a corked transport."""
        self.corked = Corked(transport, asyncio.get_running_loop())
        super().connection_made(self.corked)

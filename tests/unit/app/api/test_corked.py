"""A corked transport: one packet a turn of the event loop, in order, nothing lost at the end."""

from __future__ import annotations

import asyncio

from app.api.corked import Corked


class Wire(asyncio.Transport):
    """What reaches the wire, packet by packet."""

    def __init__(self) -> None:
        super().__init__()
        self.packets: list[bytes] = []
        self.events: list[str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.packets.append(bytes(data))

    def close(self) -> None:
        self.events.append("close")

    def abort(self) -> None:
        self.events.append("abort")

    def write_eof(self) -> None:
        self.events.append("eof")

    def pause_reading(self) -> None:
        self.events.append("pause")

    def resume_reading(self) -> None:
        self.events.append("resume")

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.events.append("protocol")

    def is_closing(self) -> bool:
        return bool({"close", "abort"} & set(self.events))

    def get_extra_info(self, name: str, default: object = None) -> object:
        return name if name == "peername" else default


async def turn() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_what_is_written_in_one_turn_is_one_packet() -> None:
    wire = Wire()
    corked = Corked(wire, asyncio.get_running_loop())
    corked.write(b"head ")
    corked.writelines([b"and ", bytearray(b"body")])
    assert wire.packets == []
    await turn()
    corked.write(b"next")
    await turn()
    assert wire.packets == [b"head and body", b"next"]


async def test_an_end_comes_after_what_was_written() -> None:
    for end in ("close", "write_eof"):
        wire = Wire()
        corked = Corked(wire, asyncio.get_running_loop())
        corked.write(b"last words")
        getattr(corked, end)()
        assert (wire.packets, len(wire.events)) == ([b"last words"], 1)
        await turn()
        assert wire.packets == [b"last words"]


async def test_a_handed_over_connection_has_nothing_left_in_the_cork() -> None:
    wire = Wire()
    corked = Corked(wire, asyncio.get_running_loop())
    corked.write(b"101 switching")
    corked.set_protocol(asyncio.Protocol())
    assert (wire.packets, wire.events) == ([b"101 switching"], ["protocol"])


async def test_a_connection_that_is_gone_gets_nothing_more() -> None:
    wire = Wire()
    corked = Corked(wire, asyncio.get_running_loop())
    corked.write(b"too late")
    corked.abort()
    await turn()
    assert (wire.packets, corked.is_closing()) == ([], True)


async def test_everything_else_is_the_inner_transports() -> None:
    wire = Wire()
    corked = Corked(wire, asyncio.get_running_loop())
    corked.pause_reading()
    corked.resume_reading()
    assert wire.events == ["pause", "resume"]
    assert (corked.get_extra_info("peername"), corked.get_extra_info("x", 1)) == ("peername", 1)

"""A list counts only when it is whole: nothing broken or empty may make objects look gone."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.protocol.instances import InstanceRecord
from app.validators.errors import ListingAbortedError
from app.validators.listing import Listing, lines_of, read_listing

ONE = b'data: {"instance_id":"a","chute_id":"c"}\n\n'
TWO = b'data: {"instance_id":"b","chute_id":"c"}\n\n'


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def read(*parts: bytes) -> Listing[InstanceRecord]:
    return await read_listing(lines_of(chunks(*parts)), InstanceRecord, "instance_id")


async def test_objects_are_read_wherever_chunks_break() -> None:
    assert set((await read((ONE + TWO)[:17], (ONE + TWO)[17:])).items) == {"a", "b"}


async def test_the_marker_alone_is_a_really_empty_list() -> None:
    assert (await read(b"data: NO_ITEMS\n")).items == {}


@pytest.mark.parametrize("parts", [[], [b""], [b": comment\n\n"], [b"event: x\n"]])
async def test_nothing_at_all_is_aborted(parts: list[bytes]) -> None:
    with pytest.raises(ListingAbortedError, match="empty without the end marker"):
        await read(*parts)


async def test_a_list_cut_inside_a_line_is_aborted() -> None:
    with pytest.raises(ListingAbortedError, match="cut in the middle"):
        await read(ONE, TWO[:20])


async def test_an_object_that_cannot_be_read_still_exists() -> None:
    found = await read(ONE, b'data: {"instance_id":"odd","chute_id":7}\n\n')
    assert found.knows("odd")
    assert not found.knows("other")
    assert set(found.items) == {"a"}


@pytest.mark.parametrize("line", [b'data: {"chute_id":"c"}\n', b"data: {broken}\n", b'data: {"instance_id":""}\n'])
async def test_an_object_without_an_id_makes_the_list_worthless(line: bytes) -> None:
    with pytest.raises(ListingAbortedError):
        await read(ONE, line)


@given(st.lists(st.binary(max_size=30), max_size=5))
async def test_any_bytes_give_a_list_or_an_abort(parts: list[bytes]) -> None:
    with contextlib.suppress(ListingAbortedError):
        assert (await read(*parts)).items == {}

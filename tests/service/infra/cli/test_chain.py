"""`headframe doctor --chain` against a simulated chain endpoint: a seat, none, and no answer at all."""

from __future__ import annotations

import pytest

from infra.cli.chain import look, look_for_seats, uid_checks
from infra.cli.doctor import Verdict
from lab.chain.scale import ss58
from policies.rules.registration import uid_single
from tests.support.chains import chain, running
from tracker.chain.connect import Endpoint, connect

pytestmark = pytest.mark.service


async def test_every_seat_of_a_simulated_subnet_is_found_and_judged() -> None:
    source = chain()
    head = max(source.state(source.finalized), key=lambda netuid: len(source.state(source.finalized)[netuid].hotkeys))
    subnet = source.state(source.finalized)[head]
    names = [ss58(key) for key in subnet.hotkeys]
    async with running(source) as where:
        view, problem = await look(names[0], head, where.url)
        assert problem == ""
        assert view.uids == (0,)
        stranger, _ = await look(ss58(b"\x07" * 32), head, where.url)
    assert [finding.seen for finding in uid_single(stranger)] == [f"0 UIDs on subnet {head}"]


def test_a_chain_that_does_not_answer_is_a_warning() -> None:
    (check,) = uid_checks(ss58(b"\x07" * 32), 64, "ws://127.0.0.1:9")
    assert check.verdict is Verdict.WARN
    assert "could not be read" in check.seen


async def test_seats_of_a_hotkey_and_of_its_coldkey_are_told_apart() -> None:
    source = chain()
    states = source.state(source.finalized)
    netuid = max(states, key=lambda number: len(states[number].hotkeys))
    subnet = states[netuid]
    hotkey = ss58(subnet.hotkeys[0])
    async with running(source) as where:
        owners = await coldkeys(where.url, hotkey)
        seats, problem = await look_for_seats(hotkey, owners, netuid, where.url)
        assert (problem, seats.of_hotkey) == ("", (0,))
        stranger, _ = await look_for_seats(ss58(b"\x07" * 32), owners, netuid, where.url)
        assert stranger.of_hotkey == ()
        assert 0 in stranger.of_coldkey
        nobody, _ = await look_for_seats(ss58(b"\x07" * 32), ss58(b"\x08" * 32), netuid, where.url)
        assert (nobody.of_hotkey, nobody.of_coldkey) == ((), ())


async def test_seats_on_a_chain_that_does_not_answer_are_unknown() -> None:
    seats, problem = await look_for_seats(ss58(b"\x07" * 32), ss58(b"\x08" * 32), 64, "ws://127.0.0.1:9")
    assert (seats.of_hotkey, seats.of_coldkey) == ((), ())
    assert problem


async def coldkeys(url: str, hotkey: str) -> str:
    """The coldkey that owns a hotkey."""
    async with connect(Endpoint(url)) as reader:
        return (await reader.coldkeys([hotkey], await reader.finalized()))[0]

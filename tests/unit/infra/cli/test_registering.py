"""A hotkey is registered once, by the wallet that the stack mines with, and only where the chain called it new."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.cli.chain import Seats
from infra.cli.registering import RegistrationRefusedError, Wallet, command, refuse_second, register

HOTKEY = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"
COLDKEY = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty"


@pytest.fixture
def wallet(tmp_path: Path) -> Wallet:
    folder = tmp_path / "miner" / "hotkeys"
    folder.mkdir(parents=True)
    (folder / "one").write_text(json.dumps({"ss58Address": HOTKEY, "secretSeed": "never-shown"}))
    (folder.parent / "coldkeypub.txt").write_text(json.dumps({"ss58Address": COLDKEY}))
    return Wallet(tmp_path, "miner", "one")


@pytest.mark.parametrize(
    ("seats", "problem", "words"),
    [
        (Seats(of_hotkey=(7,)), "", "registered already, as UID 7"),
        (Seats(of_coldkey=(3, 9)), "", "another hotkey of this coldkey holds UID 3, 9"),
        (Seats(), "no answer within 90 s", "could not be read: no answer within 90 s. Nothing was done"),
    ],
)
def test_a_second_seat_and_an_unread_chain_are_refused(seats: Seats, problem: str, words: str) -> None:
    with pytest.raises(RegistrationRefusedError, match=words):
        refuse_second(seats, problem)


def test_a_hotkey_without_a_seat_passes_and_btcli_is_asked_for_a_seat_alone(wallet: Wallet) -> None:
    refuse_second(Seats(), "")
    words = command(wallet, 64, "finney")
    assert words[:3] == ["btcli", "subnets", "register"]
    assert not {"axon", "serve"} & set(words)
    assert "never-shown" not in " ".join(words)


def test_another_hotkey_than_the_stacks_is_refused_before_anything_is_asked(wallet: Wallet) -> None:
    with pytest.raises(RegistrationRefusedError, match="the stack mines with 5FHn"):
        register(wallet, COLDKEY, 64, "ws://127.0.0.1:9")


def test_a_missing_wallet_file_is_named_with_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(RegistrationRefusedError, match=r"coldkeypub.txt gives no address .*btcli wallet new-coldkey"):
        Wallet(tmp_path, "miner", "one").coldkey_ss58()
    with pytest.raises(RegistrationRefusedError, match="new-hotkey"):
        Wallet(tmp_path, "miner", "one").hotkey_ss58()

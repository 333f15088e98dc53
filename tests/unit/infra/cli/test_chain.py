"""Which seats of a subnet are the hotkey's, and which its coldkey's, on a canned chain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from infra.cli import chain
from infra.cli.app import run
from infra.cli.chain import uid_checks, view_of
from infra.cli.doctor import Check, Verdict
from infra.cli.engine import Engine
from policies.rules.registration import ChainView
from tracker.chain.reader import Block, ChainReader

HOTKEYS = ["a", "b", "c", "d"]
OWNERS = {"a": "x", "b": "y", "c": "x", "d": "z"}


class Canned:
    """Four seats; `a` and `c` have one owner."""

    async def finalized(self) -> Block:
        return Block(7, "0x7")

    async def per_subnet(self, item: str, netuids: Sequence[int], at: Block) -> list[object]:
        return [4 if netuids == [64] else 0]

    async def hotkeys(self, seats: Sequence[tuple[int, int]], at: Block) -> list[str]:
        return [HOTKEYS[uid] for _, uid in seats]

    async def coldkeys(self, hotkeys: Sequence[str], at: Block) -> list[str]:
        return [OWNERS[hotkey] for hotkey in hotkeys]


async def test_seats_are_told_by_hotkey_and_by_owner() -> None:
    reader = cast("ChainReader", Canned())
    assert await view_of(reader, "b", 64) == ChainView(hotkey_ss58="b", netuid=64, uids=(1,))
    assert (await view_of(reader, "a", 64)).other_uids == (2,)
    assert (await view_of(reader, "e", 64)).uids == ()
    assert (await view_of(reader, "a", 1)).uids == ()


@pytest.mark.parametrize(
    ("view", "problem", "verdict"),
    [
        (ChainView(hotkey_ss58="a", netuid=64, uids=(3,)), "", Verdict.OK),
        (ChainView(hotkey_ss58="a", netuid=64, uids=()), "", Verdict.FAIL),
        (ChainView(hotkey_ss58="a", netuid=64, uids=(3,), other_uids=(4,)), "", Verdict.FAIL),
        (ChainView(hotkey_ss58="a", netuid=64), "no answer", Verdict.WARN),
    ],
)
def test_findings_become_checks(
    view: ChainView, problem: str, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def looked(hotkey_ss58: str, netuid: int, network: str) -> tuple[ChainView, str]:
        return view, problem

    monkeypatch.setattr(chain, "look", looked)
    assert [check.verdict for check in uid_checks("a", 64, "finney")] == [verdict]


def test_doctor_asks_the_chain_only_where_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, int, str]] = []

    def checks(*question: object) -> list[Check]:
        asked.append(cast("tuple[str, int, str]", question))
        return [Check("uid-single", Verdict.OK, "UID 3")]

    file = tmp_path / "Pulumi.test.yaml"
    file.write_text("config:\n  headframe:miner: {hotkey_ss58: a}\n")
    monkeypatch.setenv("PULUMI_OPTION_CONFIG_FILE", str(file))
    monkeypatch.setattr(Engine, "stack_name", lambda self: "test")
    monkeypatch.setattr(chain, "uid_checks", checks)
    assert run(["doctor"]) == 2
    assert asked == []
    assert run(["doctor", "--chain", "finney"]) == 2
    assert asked == [("a", 64, "finney")]
    assert "UID 3" in capsys.readouterr().out

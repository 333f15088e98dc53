"""The simulated world outside the fleet: what it adds to the stack, and that it ends with its mark."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.settings.programs import ValidatorSettings
from lab.fleet.leftovers import marked
from lab.fleet.market import Market, MarketError, with_market
from lab.fleet.stack import Generated, completed

GENERATED = Generated(host_keys={}, kubernetes_version="v1", kubernetes_source="file:///k", hotkey_ss58="5Lab")


def test_the_stack_names_the_simulated_validator_and_chain(tmp_path: Path) -> None:
    market = Market(tmp_path, "198.18.0.1")
    committed = {"config": {"headframe:control": {"name": "c"}, "headframe:tracker": {"storage_gib": 1}}}
    generated = Generated(
        host_keys={"c": "k"}, kubernetes_version="v1", kubernetes_source="file:///k", hotkey_ss58="5Lab"
    )
    config = completed(committed, with_market(generated, market), {})["config"]
    (entry,) = config["headframe:validators"]
    assert ValidatorSettings.model_validate(entry).registry == "http://198.18.0.1:8090"
    assert entry["hotkey"] == market.validator_hotkey == Market(tmp_path, "198.18.0.1").validator_hotkey
    assert config["headframe:tracker"] == {"storage_gib": 1, "network": "ws://198.18.0.1:9944"}


def test_what_carries_the_mark_is_ended_and_nothing_else(tmp_path: Path) -> None:
    market = Market(tmp_path, "127.0.0.1")
    wait = [sys.executable, "-c", "import time; time.sleep(60)"]
    mark = f"lab.validator@{tmp_path}"
    with (
        subprocess.Popen(wait, env={"HEADFRAME_LAB_MARKET": mark}) as ours,
        subprocess.Popen(wait, env={"HEADFRAME_LAB_MARKET": f"{mark}-other"}) as other,
    ):
        while not marked(f"HEADFRAME_LAB_MARKET={mark}"):
            pass
        assert market.stop() == 1
        assert ours.wait(10) != 0
        assert other.poll() is None
        other.kill()


def test_a_process_that_does_not_listen_is_told_and_none_keeps_files_of_the_command_open(tmp_path: Path) -> None:
    market = Market(tmp_path, "127.12.34.56")
    with (tmp_path / "lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)
        try:
            with pytest.raises(MarketError, match=r"lab.validator does not listen .*validator.log"):
                market.start(tmp_path / "no-image.tar")
            (chain,) = marked(f"HEADFRAME_LAB_MARKET=lab.chain@{tmp_path}")
            held = {str(entry.readlink()) for entry in Path(f"/proc/{chain}/fd").iterdir()}
        finally:
            market.stop()
    assert str(tmp_path / "lock") not in held
    assert (tmp_path / "logs" / "validator.log").exists()


def test_a_process_shows_its_mark_as_soon_as_it_was_started_however_busy_the_machine(tmp_path: Path) -> None:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    markets = [Market(tmp_path / str(number), "127.0.0.1") for number in range(15)]
    try:
        seen = []
        for market in markets:
            market.state.mkdir()
            market._spawn("lab.chain", ["--port", "0"])
            seen.append(len(marked(f"HEADFRAME_LAB_MARKET=lab.chain@{market.state}")))
            market.stop()
    finally:
        for process in busy:
            process.kill()
            process.wait()
        for market in markets:
            market.stop()
    assert seen == [1] * len(markets)

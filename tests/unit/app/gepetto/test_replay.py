"""Replay of recorded markets (spec: gepetto 25.2, 25.6, 25.7)."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.gepetto import trace_commands
from app.gepetto.decision.configuration import Configuration
from app.gepetto.simulator import trace
from app.gepetto.simulator.engine import Simulation
from app.gepetto.simulator.replay import RecordedMarket, income_by_miner, scenario_of, servers_of
from app.gepetto.simulator.scenario import HOUR
from app.gepetto.simulator.trace import JsonLine

START = 1_700_000_000.0


def chute(name: str, at: float = 0.0, **changes: object) -> JsonLine:
    line: JsonLine = {
        "t": START + at, "type": "chute", "id": name, "version": "1", "gpu_count": 1, "gpu_types": ["pro_6000"],
        "tee": True, "public": True, "m_eff": 0.9,
    }  # fmt: skip
    return line | changes


def capacity(name: str, at: float, target: int, total: int, load: float = 0.4) -> JsonLine:
    return {
        "t": START + at, "type": "capacity", "chute": name, "target": target, "total": total, "active": total,
        "utilization_5m": load, "utilization_15m": None,
    }  # fmt: skip


LINES: list[JsonLine] = [
    {"type": "meta", "schema": 1, "start": START},
    {"type": "from the future", "t": START, "x": 1},
    chute("busy"),
    chute("quiet", public=False, m_eff=1.2),
    {"type": "start", "chute": "busy", "pull": 20, "download": 60, "warm_up": 40},
    capacity("busy", 0, 3, 0),
    capacity("quiet", 0, 0, 0),
    capacity("unknown", 0, 9, 9),
    capacity("quiet", 2 * HOUR, 1, 0),
    chute("busy", 3 * HOUR, m_eff=1.8),
    capacity("quiet", 4 * HOUR, 1, 1),
    {"t": START + 5 * HOUR, "type": "bounty", "chute": "quiet", "boost": 1.2},
    capacity("busy", 6 * HOUR, 3, 0),
]


def test_servers_are_read_as_an_operator_writes_them() -> None:
    (one, other) = servers_of(("pro_6000:8", "h200:4"))
    assert (one.gpu_type, one.gpus, other.gpu_type, other.gpus) == ("pro_6000", 8, "h200", 4)
    for wrong in ("pro_6000", "abacus:8", "h200:0", "h200:many"):
        with pytest.raises(ValueError, match="MODEL:GPUS"):
            servers_of((wrong,))


def test_a_trace_gives_chutes_times_and_length() -> None:
    scenario = scenario_of(LINES, servers_of(("pro_6000:8",)))
    assert [(model.public, model.base, model.start_seconds) for model in scenario.chutes] == [
        (True, 0.9, 120.0), (False, 1.2, 300.0),
    ]  # fmt: skip
    assert scenario.seconds == 6 * HOUR
    with pytest.raises(ValueError, match="record for some hours"):
        scenario_of([chute("alone")], ())


def test_the_market_follows_the_record() -> None:
    market = RecordedMarket(scenario_of(LINES, servers_of(("pro_6000:8",))), LINES)
    market.step(0.0)
    assert (int(market.target[0]), bool(market.has_bounty[1])) == (3, False)
    market.step(2.5 * HOUR)
    assert bool(market.has_bounty[1])
    assert market.multiplier(0, 2.5 * HOUR)[0] == pytest.approx(0.9)
    market.step(4.5 * HOUR)
    assert not bool(market.has_bounty[1])
    assert market.multiplier(0, 4.5 * HOUR)[0] == pytest.approx(1.8)
    market.step(5.5 * HOUR)
    assert bool(market.has_bounty[1])


def test_copies_beyond_a_lowered_target_are_ended() -> None:
    lines = [*LINES, capacity("busy", 7 * HOUR, 0, 0)]
    market = RecordedMarket(scenario_of(lines, servers_of(("pro_6000:8",))), lines)
    market.step(6 * HOUR)
    market.ours[0] = 3
    assert market.step(6.5 * HOUR) == []
    assert market.step(7.5 * HOUR) == [0]


def test_a_strategy_earns_in_a_recorded_market_and_twice_the_same() -> None:
    scenario = scenario_of(LINES, servers_of(("pro_6000:8",)))
    runs = [Simulation(scenario, Configuration(), market=RecordedMarket(scenario, LINES)).run() for _ in range(2)]
    assert runs[0].units > 3 * 0.9 * 4
    assert runs[0].deterministic() == runs[1].deterministic()


def test_what_recorded_miners_earned_follows_from_their_multipliers() -> None:
    def instance(at: float, name: str, event: str, **more: object) -> JsonLine:
        return {"t": START + at * HOUR, "type": "instance", "id": name, "event": event, **more}

    lines = [
        instance(0, "i", "active", miner="a", value=1.0),
        instance(1, "j", "active", miner="b", value=0.5),
        instance(2, "i", "multiplier", miner="a", value=2.0),
        instance(3, "i", "deleted"),
        instance(3, "never heard of", "deleted"),
        {"t": START + 5 * HOUR, "type": "capacity", "chute": "c"},
    ]
    assert income_by_miner(lines) == pytest.approx({"a": 1.0 * 2 + 2.0 * 1, "b": 0.5 * 4})


def test_the_command_replays_a_file_and_refuses_what_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "trace.jsonl.gz"
    trace.append(path, LINES)
    assert trace_commands.replay(path, strategy=("shadow_price",)) == 0
    assert "shadow_price" in capsys.readouterr().out
    assert trace_commands.replay(path, server=("abacus:8",)) == 2
    assert trace_commands.replay(path, strategy=("nothing",)) == 2
    assert "no strategy is called" in capsys.readouterr().err


def test_recording_without_settings_names_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VALIDATORS", "MINER_SEED"):
        monkeypatch.delenv(name, raising=False)
    assert trace_commands.record(tmp_path / "trace.gz", samples=1) == 2
    assert "VALIDATORS, MINER_SEED" in capsys.readouterr().err

"""The simulator: payment rules, determinism, intervals, bound, traces, picture, command (spec: gepetto 21, 25)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.gepetto import cli
from app.gepetto.decision.configuration import Configuration
from app.gepetto.simulator import trace
from app.gepetto.simulator.baselines import NAMES, strategy_named
from app.gepetto.simulator.bound import share_of_bound
from app.gepetto.simulator.compare import Interval, Matrix, compare, run_one
from app.gepetto.simulator.ledger import Copy, Ledger, drifted
from app.gepetto.simulator.market import MarketState
from app.gepetto.simulator.plot import draw
from app.gepetto.simulator.scenario import Preset, build
from app.protocol.chutes import ChuteRecord, NodeSelector, Utilization
from app.protocol.instances import ActiveInstance
from tests.support.gepetto_outside import FakeValidator


def finished(active_seconds: float, *, by_validator: bool, public: bool) -> Ledger:
    ledger = Ledger(warmup_pay=0.3)
    copy = Copy("d-1", 0, 0, 1, 1, 0.0, claimed_at=0.0, multiplier=2.0)
    copy.settle(600.0, 0.3)
    copy.activated_at = 600.0
    ledger.close(copy, 600.0 + active_seconds, by_validator=by_validator, public=public)
    return ledger


@pytest.mark.parametrize(
    ("seconds", "by_validator", "public", "is_paid"),
    [
        (1800, False, True, False),
        (3600, False, True, True),
        (1800, True, True, True),
        (7200, False, False, False),
        (1800, True, False, True),
    ],
)
def test_the_table_of_endings_is_paid_as_specified(
    seconds: float, by_validator: bool, public: bool, is_paid: bool
) -> None:
    ledger = finished(seconds, by_validator=by_validator, public=public)
    expected = 0.3 * 2.0 / 6 + 2.0 * seconds / 3600
    assert ledger.paid == pytest.approx(expected if is_paid else 0.0)
    assert ledger.forfeited == pytest.approx(0.0 if is_paid else expected)


def test_a_bonus_drifts_away_between_the_second_and_the_eighth_hour() -> None:
    current, collected = 1.5, 0.0
    for hour in range(1, 12):
        collected += current - 1.0
        current = drifted(current, 1.0, hour)
    assert current == 1.0
    assert collected == pytest.approx(0.5 * 5.95, abs=0.2)  # six hours of it, as spec 21.5 works out


@pytest.mark.parametrize("preset", list(Preset))
def test_every_preset_runs_without_a_broken_rule_and_twice_alike(preset: Preset) -> None:
    scenario = build(preset, 3, gpus=16, chutes=40, hours=4)
    assert scenario == build(preset, 3, gpus=16, chutes=40, hours=4)
    first = run_one(scenario, "shadow_price", Configuration())
    assert first.violations == 0
    assert first.units > 0
    assert first.deterministic() == run_one(scenario, "shadow_price", Configuration()).deterministic()


@pytest.mark.parametrize("name", NAMES)
def test_every_strategy_earns_less_than_the_bound(name: str) -> None:
    scenario = build(Preset.MIXED, 2, gpus=16, chutes=40, hours=4)
    result = run_one(scenario, name, Configuration())
    assert 0 < share_of_bound(scenario, result) <= 1.0
    assert 0 < result.share < 1
    assert result.violations == 0


def test_an_unknown_strategy_is_named_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match="shadow_price"):
        strategy_named("unheard of", Configuration())


def test_a_validator_refuses_beyond_its_target_and_lets_one_racer_in() -> None:
    market = MarketState(build(Preset.LIVE_LIKE, 1, gpus=16, chutes=40, hours=1))
    chute = int(np.flatnonzero(market.public)[0])
    market.target[chute], market.rivals[chute] = 3, 2
    assert not market.refuses(chute, 0.0)
    market.pending[chute] = 2
    assert market.refuses(chute, 0.0)
    private = int(np.flatnonzero(~market.public)[0])
    assert market.refuses(private, 0.0)
    market.bounty_since[private], market.target[private] = 0.0, 1
    assert not market.refuses(private, 60.0)
    assert market.multiplier(private, 3 * 3600.0)[0] == pytest.approx(1.5 * market.base[private])


def test_intervals_contain_their_mean_and_know_when_zero_is_outside() -> None:
    interval = Interval.of([0.1, 0.12, 0.11, 0.09])
    assert interval.low < interval.mean < interval.high
    assert interval.excludes_zero
    assert not Interval.of([-1.0, 1.0, 0.5]).excludes_zero
    assert Interval.of([2.0]) == Interval(2.0, 2.0, 2.0)


def test_strategies_are_compared_on_the_same_seeds_and_drawn(tmp_path: Path) -> None:
    heard: list[str] = []
    matrix = Matrix((Preset.LIVE_LIKE,), ("shadow_price",), (1, 2), gpus=8, chutes=20, hours=2)
    found = compare(matrix, Configuration(), heard.append)
    assert [item.strategy for item in found] == ["upstream_compat", "shadow_price"]
    assert found[0].difference.mean == 0.0
    assert len(heard) == 4
    picture = tmp_path / "picture.svg"
    draw(found, picture)
    assert "Simulated fleets" in picture.read_text() or picture.stat().st_size > 5000


def test_the_command_prints_a_table_and_refuses_unknown_names(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    picture = tmp_path / "p.png"
    code = cli.simulate(strategy=("conservative",), seeds=1, gpus=8, chutes=16, hours=1, plot=picture)
    assert code == 0
    assert picture.exists()
    assert "conservative" in capsys.readouterr().out
    assert cli.simulate(strategy=("nothing",)) == 2


async def test_a_trace_holds_changes_only_and_no_hotkeys(tmp_path: Path) -> None:
    validator = FakeValidator(
        chute_list=[ChuteRecord(chute_id="c", version="1", code="secret", node_selector=NodeSelector())],
        usage=[Utilization(chute_id="c", target_count=2)],
        active_list=[ActiveInstance(instance_id="i", chute_id="c", miner_hotkey="5Somebody", compute_multiplier=1.0)],
    )
    recorder = trace.Recorder(validator, lambda: 5.0, "salt")
    path = tmp_path / "trace.jsonl.gz"
    assert trace.append(path, [recorder.header(), *await recorder.sample()]) == 4
    assert await recorder.sample() == []
    validator.active_list = []
    assert [line["event"] for line in await recorder.sample()] == ["deleted"]
    lines = list(trace.read(path))
    assert [line["type"] for line in lines] == ["meta", "chute", "capacity", "instance"]
    assert "5Somebody" not in str(lines)
    assert "secret" not in str(lines)

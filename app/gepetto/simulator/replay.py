"""A recorded market in place of a made-up one: strategies meet what a validator really published (spec: gepetto 25.2).

Known limits: whoever recorded counts among the other miners; how long private chutes stay busy and models take to load
is not published, so the scenario's assumptions stand in; what we do does not move the recorded targets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from app.gepetto.simulator.market import MarketState
from app.gepetto.simulator.scenario import HOUR, ChuteModel, Preset, Scenario, ServerModel
from app.gepetto.simulator.trace import JsonLine
from app.protocol.gpus import GPU_MODELS

#: Assumed where the trace has no `start` line of a chute, and for how long a private chute is used.
START_SECONDS: Final = 300.0
BUSY_HOURS: Final = 2.0
MODEL_GB: Final = 40.0


def number(value: object, default: float = 0.0) -> float:
    """A number of a trace; lines may lack it or hold null."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default


def servers_of(words: Sequence[str]) -> tuple[ServerModel, ...]:
    """Servers as an operator writes them: `pro_6000:8` is one server with eight of that model.

    Raises:
        ValueError: no such GPU model, or no number of GPUs.
    """
    found = []
    for index, word in enumerate(words):
        model, _, count = word.partition(":")
        if model not in GPU_MODELS or not count.isdigit() or not 1 <= int(count) <= 16:
            raise ValueError(f"{word!r} is no server: MODEL:GPUS was wanted, such as pro_6000:8")
        found.append(ServerModel(f"s{index:04}", model, int(count), GPU_MODELS[model].rate_usd_per_hour, 0.0))
    return tuple(found)


def scenario_of(lines: Sequence[JsonLine], servers: tuple[ServerModel, ...], seed: int = 1) -> Scenario:
    """The recorded chutes on these servers, for as long as the trace goes.

    Raises:
        ValueError: the trace has no chutes, or lasts for less than two samples.
    """
    starts: dict[str, list[float]] = {}
    chutes: dict[str, JsonLine] = {}
    for line in lines:
        if line.get("type") == "chute" and str(line.get("id")) not in chutes:
            chutes[str(line["id"])] = line
        if line.get("type") == "start":
            seconds = sum(number(line.get(phase)) for phase in ("pull", "download", "warm_up"))
            starts.setdefault(str(line.get("chute")), []).append(seconds)
    times = [number(line["t"]) for line in lines if "t" in line]
    if not chutes or max(times, default=0.0) <= min(times, default=0.0):
        raise ValueError("the trace has no chutes or only one sample: record for some hours")
    models = tuple(_model(index, line, starts) for index, line in enumerate(chutes.values()))
    return Scenario(Preset.LIVE_LIKE, seed, max(times) - min(times), servers, models)


def _model(index: int, line: JsonLine, starts: dict[str, list[float]]) -> ChuteModel:
    known = starts.get(str(line["id"]))
    kinds = line.get("gpu_types")
    return ChuteModel(
        id=f"c{index:04}",
        gpu_count=max(1, int(number(line.get("gpu_count"), 1))),
        gpu_types=tuple(str(kind) for kind in kinds) if isinstance(kinds, list) else (),
        public=line.get("public") is not False,
        base=max(1e-6, number(line.get("m_eff"), 1.0)),
        mean_load=0.0,
        swing=0.0,
        phase=0.0,
        revenue_boost=0.0,
        bounties_per_hour=0.0,
        busy_hours=BUSY_HOURS,
        start_seconds=float(np.mean(known)) if known else START_SECONDS,
        model_gb=MODEL_GB,
    )


class RecordedMarket(MarketState):
    """Targets, other miners' copies, load and multipliers as they were recorded."""

    def __init__(self, scenario: Scenario, lines: Sequence[JsonLine]) -> None:
        super().__init__(scenario)
        names = dict.fromkeys(str(line["id"]) for line in lines if line.get("type") == "chute")
        self._rows = {name: row for row, name in enumerate(names)}
        timed = [line for line in lines if "t" in line]
        self._began = min(number(line["t"]) for line in timed)
        self._lines = sorted(timed, key=lambda line: number(line["t"]))
        self._next = 0
        self.target[:], self.rivals[:] = 0, 0

    def step(self, now: float) -> list[int]:
        """Take in what was recorded until now; copies beyond a lowered target are ended."""
        while self._next < len(self._lines) and number(self._lines[self._next]["t"]) - self._began <= now:
            self._take(self._lines[self._next], now)
            self._next += 1
        beyond = self.public & (self.ours > 0) & (self.active > self.target + 1)
        return [int(chute) for chute in np.flatnonzero(beyond & (self.rivals == 0))]

    def _take(self, line: JsonLine, now: float) -> None:
        row = self._rows.get(str(line.get("chute", line.get("id"))))
        if row is None:
            return
        match line.get("type"):
            case "capacity":
                self._capacity(row, line, now)
            case "chute":
                self.boost[row] = number(line.get("m_eff"), self.base[row]) / self.base[row]
            case "bounty":
                self.bounty_since[row] = now

    def _capacity(self, row: int, line: JsonLine, now: float) -> None:
        self.target[row] = int(number(line.get("target")))
        self.rivals[row] = int(number(line.get("total")))
        self.utilization[row] = max(number(line.get("utilization_5m")), number(line.get("utilization_15m")))
        if self.public[row]:
            return
        if self.target[row] > 0 and self.rivals[row] == 0 and self.ours[row] == 0:
            self.bounty_since[row] = min(self.bounty_since[row], now)  # wanted and nowhere hot: that is a bounty
        else:
            self.bounty_since[row] = np.inf


def income_by_miner(lines: Iterable[JsonLine]) -> dict[str, float]:
    """What each recorded miner earned within the trace, in multiplier-hours, by hashed name (spec: gepetto 25.6).

    Divided by their sum these are the weights that the rule of 21.1 predicts, short copies and warm-up pay apart.
    """
    running: dict[str, tuple[str, float, float]] = {}
    found: dict[str, float] = {}
    last = 0.0

    def settle(instance: str, at: float) -> None:
        miner, rate, since = running.pop(instance)
        found[miner] = found.get(miner, 0.0) + rate * (at - since) / HOUR

    for line in lines:
        last = max(last, number(line.get("t"), last))
        if line.get("type") != "instance":
            continue
        instance, at = str(line.get("id")), number(line.get("t"))
        miner = running[instance][0] if instance in running else str(line.get("miner", ""))
        if instance in running:
            settle(instance, at)
        if line.get("event") in {"active", "multiplier"}:
            running[instance] = (miner, number(line.get("value")), at)
    for instance in tuple(running):
        settle(instance, last)
    return found

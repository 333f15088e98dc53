"""The bench's matrix of simulated runs keeps what is done: cut lines and runs of other code are made anew."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from tests.bench.gepetto.matrix import Case, Run, code_digest, complete, kept_runs, table


def run(strategy: str, seed: int, units: float, code: str = "now") -> Run:
    return Run(Case("mixed", strategy, seed), code, units / 100, units, 0.9, 0, 0.0, 0, 1, 0.1)


def keep(path: Path, *runs: Run) -> None:
    path.write_text("".join(json.dumps(asdict(one)) + "\n" for one in runs))


def test_runs_of_this_code_are_taken_from_the_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    assert kept_runs(path, "now") == {}
    keep(path, run("random", 1, 1.0), run("random", 2, 2.0, code="before"))
    path.write_text(path.read_text() + '{"case": {"preset": "mix')
    assert list(kept_runs(path, "now")) == [Case("mixed", "random", 1)]


def test_a_matrix_that_is_complete_runs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    kept = run("random", 1, 1.0, code=code_digest())
    keep(path, kept)
    assert complete([kept.case], path, 1) == {kept.case: kept}


def test_differences_are_paired_by_seed_and_marked_where_zero_is_outside() -> None:
    runs = [run("upstream_compat", seed, 100.0 * seed) for seed in (1, 2, 3)]
    runs += [run("shadow_price", seed, 110.0 * seed + 0.1 * seed**2) for seed in (1, 2, 3)]
    lines = list(table({one.case: one for one in runs}, 3))
    assert "| mixed | upstream_compat | 2.000" in lines[2]
    assert "+10.2% [" in lines[3]
    assert "] * | 90.0% | 0 |" in lines[3]

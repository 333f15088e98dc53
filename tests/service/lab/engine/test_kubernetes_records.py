"""The `kubernetes` stand-in answers as the official provider did when it was recorded, call by call."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from lab.kubernetes.apiserver import LocalApiServer
from tests.support.kubernetes_plays.comparison import deviations
from tests.support.kubernetes_plays.repertoire import REPERTOIRE
from tests.support.kubernetes_plays.stage import Stage, stand_in_stage
from tests.support.vectors import cases

pytestmark = [pytest.mark.service, pytest.mark.timeout(600)]

RECORDED: Final = cases(Path(__file__).parent / "vectors" / "kubernetes.jsonl.gz")
#: Cases that the stand-in does not answer alike, with the reason. One that starts to pass has to leave this list.
DEVIATING: Final[dict[str, str]] = {}
_PLAYERS: Final = 4


def play(case: str, server: LocalApiServer, helm: Path, folder: Path) -> Stage:
    """Act one case in a folder of its own."""
    stage = stand_in_stage(case, server.kubeconfig.read_text(), helm, folder)
    stage.act(REPERTOIRE[case])
    return stage


@pytest.fixture(scope="module")
def stages(
    api_server: LocalApiServer,
    helm_program: Path,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Future[Stage]]]:
    """The chosen cases, acted side by side: each owns its namespace, and most of their time is waiting."""
    chosen = [case for case in RECORDED if any(f"[{case}]" in item.name for item in request.session.items)]
    folder = tmp_path_factory.mktemp("plays")
    with ThreadPoolExecutor(_PLAYERS) as players:
        futures: dict[str, Future[Stage]] = {}
        for case in sorted(chosen, key=lambda name: name != "namespace-missing"):  # the longest first
            (folder / case).mkdir()
            futures[case] = players.submit(play, case, api_server, helm_program, folder / case)
        yield futures


@pytest.mark.parametrize("case", list(RECORDED))
def test_a_recorded_case_is_answered_alike(case: str, stages: dict[str, Future[Stage]]) -> None:
    stage = stages[case].result(timeout=300)
    found = deviations(case, RECORDED[case], stage.lines)
    assert stage.problems == []
    if case in DEVIATING:
        assert found, f"{case} passes now: take it off the list ({DEVIATING[case]})"
    else:
        assert found == []


def test_every_recorded_case_has_a_play_and_every_play_a_record() -> None:
    assert REPERTOIRE.keys() == RECORDED.keys()
    assert DEVIATING.keys() <= RECORDED.keys()
    assert sum(map(len, RECORDED.values())) == 686


def test_no_stand_in_is_left_behind(stages: dict[str, Future[Stage]]) -> None:
    for future in stages.values():
        future.result(timeout=300)
    pattern = "lab.engine.kubernetes"
    me = os.getpid()
    left = [
        path.parent.name
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if pattern in _text(path) and _parent(path) == me
    ]
    assert left == []


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").replace("\0", " ")
    except OSError:
        return ""


def _parent(path: Path) -> int:
    try:
        return int((path.parent / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0

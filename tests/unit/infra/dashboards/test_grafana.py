"""Dashboards as Grafana takes them: placed without overlap, and written by a command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.dashboards.__main__ import main
from infra.dashboards.grafana import Board, grafana_json, read_boards

BOARDS = read_boards()


def test_there_is_a_dashboard_for_each_subject() -> None:
    assert {board.uid.removeprefix("headframe-") for board in BOARDS} == {
        "earnings",
        "fleet",
        "gepetto",
        "gpus",
        "tracker",
    }


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_no_two_panels_overlap_and_all_fit_the_page(board: Board) -> None:
    taken: set[tuple[int, int]] = set()
    panels = json.loads(grafana_json(board))["panels"]
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_every_query_keeps_its_words(board: Board) -> None:
    shown = [
        (target["expr"], target["legendFormat"])
        for panel in json.loads(grafana_json(board))["panels"]
        for target in panel.get("targets", [])
    ]
    defined = [(query.expr, query.legend) for row in board.rows for panel in row.panels for query in panel.queries]
    assert shown == defined


def test_the_command_writes_one_file_each(tmp_path: Path) -> None:
    main(tmp_path / "out")
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {board.uid for board in BOARDS}

"""Grafana's JSON of the dashboards in `boards/`. Pure: definitions in, JSON out.

A definition names rows, panels and queries; sizes and places are the same everywhere and are set here.
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, ConfigDict

BOARDS: Final = Path(__file__).parent / "boards"
_WIDTH: Final = 24
_HEIGHT: Final = {"stat": 4, "timeseries": 8}
_SCHEMA: Final = 39
#: The data source that every panel asks.
SOURCE_UID: Final = "prometheus"
_SOURCE: Final = {"type": "prometheus", "uid": SOURCE_UID}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PanelKind(StrEnum):
    """How a panel shows its queries."""

    STAT = "stat"
    GRAPH = "timeseries"


class Query(_Part):
    """One PromQL expression; the legend may name labels as `{{label}}`."""

    expr: str
    legend: str = ""


class Panel(_Part):
    """One picture. `unit` is Grafana's name of it."""

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: PanelKind = PanelKind.GRAPH


class Row(_Part):
    """Panels side by side, under a title."""

    title: str
    panels: tuple[Panel, ...]


class Board(_Part):
    """One dashboard. Links keep working as long as the uid stays."""

    uid: str
    title: str
    rows: tuple[Row, ...]


def read_boards(folder: Path = BOARDS) -> tuple[Board, ...]:
    """Every dashboard of a folder, by file name."""
    return tuple(Board.model_validate(yaml.safe_load(path.read_text())) for path in sorted(folder.glob("*.yaml")))


def grafana_json(board: Board) -> str:
    """The dashboard as Grafana's file provider takes it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for row in board.rows:
        panels.append(_placed({"type": "row", "title": row.title}, len(panels), (0, top, _WIDTH, 1)))
        top += 1
        per_line = min(len(row.panels), 6 if row.panels[0].kind is PanelKind.STAT else 3)
        for number, panel in enumerate(row.panels):
            line, place = divmod(number, per_line)
            height = _HEIGHT[row.panels[0].kind]
            width = _WIDTH // per_line
            panels.append(_placed(_panel(panel), len(panels), (place * width, top + line * height, width, height)))
        top += -(-len(row.panels) // per_line) * _HEIGHT[row.panels[0].kind]
    document = {
        "uid": board.uid,
        "title": board.title,
        "tags": ["headframe"],
        "schemaVersion": _SCHEMA,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "panels": panels,
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _panel(panel: Panel) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + number), "expr": query.expr, "legendFormat": query.legend, "datasource": _SOURCE}
        for number, query in enumerate(panel.queries)
    ]
    return {
        "type": panel.kind.value,
        "title": panel.title,
        "datasource": _SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
    }


def _placed(panel: dict[str, Any], number: int, place: tuple[int, int, int, int]) -> dict[str, Any]:
    left, top, width, height = place
    return panel | {"id": number + 1, "gridPos": {"x": left, "y": top, "w": width, "h": height}}

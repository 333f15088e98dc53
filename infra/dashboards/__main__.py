"""Writes the dashboards for a Grafana of one's own: `python -m infra.dashboards FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from infra.dashboards.grafana import grafana_json, read_boards


def main(folder: Path) -> None:
    """One JSON file for each dashboard."""
    folder.mkdir(parents=True, exist_ok=True)
    for board in read_boards():
        path = folder / f"{board.uid}.json"
        path.write_text(grafana_json(board))
        print(path)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m infra.dashboards FOLDER")
    main(Path(sys.argv[1]))

"""One changed line of one program: its image and its workload change, and nothing else of the fleet does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.fleet.engine import CLONE
from tests.support.lab import Lab

pytestmark = [pytest.mark.e2e, pytest.mark.host, pytest.mark.timeout(2700)]


@contextmanager
def one_line_more(path: Path) -> Iterator[None]:
    before = path.read_text()
    path.write_text(f"{before}# one line more\n")
    try:
        yield
    finally:
        path.write_text(before)


def test_one_line_of_the_tracker_changes_its_image_and_its_job_alone(settled: Lab) -> None:
    with one_line_more(CLONE / "tracker" / "show.py"):
        changed = settled.up()
        assert changed.status == 0, changed.output
    # A control host takes the new image; a changed command's replacement is the image's own.
    names = {name for _, name in changed.changed}
    assert {"image-tracker", "tracker"} <= names
    assert names <= {"image-tracker", "tracker", settled.control}
    back = settled.up()
    assert back.status == 0, back.output
    assert {name for _, name in back.changed} == names

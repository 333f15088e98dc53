"""How often the validators' lists are read."""

from __future__ import annotations

from app.gepetto.service import Cadence


def test_a_list_that_failed_is_read_again_soon_and_then_ever_later_up_to_the_usual_pause() -> None:
    pauses = [Cadence().feeds_pause_seconds(errors) for errors in range(7)]
    assert pauses == [30.0, 3.0, 6.0, 12.0, 24.0, 30.0, 30.0]
    assert Cadence().feeds_pause_seconds(10_000) == 30.0

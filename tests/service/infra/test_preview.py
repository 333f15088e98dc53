"""A preview by the real engine: the program as it is, and the policy pack beside it."""

from __future__ import annotations

import pytest

from tests.support.preview_stack import Stack

pytestmark = pytest.mark.service


def test_the_program_previews_and_the_pack_agrees(stack: Stack) -> None:
    shown = stack.preview(pack=True)
    assert "to create" in shown
    assert "headframe:index:Host" in shown
    assert "kubernetes:apps/v1:StatefulSet" in shown
    assert "marker" not in shown

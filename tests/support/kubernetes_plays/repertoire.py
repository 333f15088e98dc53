"""All plays, by the name of their recorded case."""

from __future__ import annotations

from typing import Final

from tests.support.kubernetes_plays import configuration, helm, objects, odd_inputs, other_hands, workloads
from tests.support.kubernetes_plays.stage import Play

REPERTOIRE: Final[dict[str, Play]] = {
    **configuration.PLAYS,
    **objects.PLAYS,
    **workloads.PLAYS,
    **other_hands.PLAYS,
    **odd_inputs.PLAYS,
    **helm.PLAYS,
}

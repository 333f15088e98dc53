"""What starts teach (spec: gepetto 22.2, 22.10)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.decide import decide
from app.gepetto.decision.experience import NO_EXPERIENCE, Experience, Tally, learn
from app.gepetto.decision.memory import Memory
from app.gepetto.decision.valuation import expectations, launch_rates
from app.gepetto.world.columns import build_columns
from app.gepetto.world.views import DeploymentState, DeploymentView
from tests.support.gepetto import NOW, make_chute, make_deployment, make_server, make_snapshot

SERVER, CHUTE = make_server(), make_chute()


def starting(name: str = "d", **changes: object) -> DeploymentView:
    values: dict[str, object] = {
        "state": DeploymentState.LAUNCHED, "activated_at": None, "verified_at": None, "created_at": NOW - 100,
        "since": NOW - 100,
    }  # fmt: skip
    return make_deployment(name, SERVER, CHUTE, 1, **(values | changes))


def after(before: Experience, *rows: DeploymentView) -> Experience:
    return learn(make_snapshot((SERVER,), (CHUTE,), rows), before)


def test_a_start_that_became_active_teaches_its_time() -> None:
    row = starting()
    known = after(after(NO_EXPERIENCE, row), replace(row, state=DeploymentState.ACTIVE, activated_at=NOW + 20))
    assert known.seconds == {CHUTE.id: 120.0}
    assert (known.public, known.private) == (Tally(1.0, 0.0), Tally())
    assert not known.starting


def test_a_start_that_vanished_counts_as_lost_and_teaches_no_time() -> None:
    known = after(after(NO_EXPERIENCE, starting(public=False)))
    assert known.private == Tally(0.0, 1.0)
    assert not known.seconds


def test_jobs_and_copies_that_were_active_before_we_looked_teach_nothing() -> None:
    job = starting(job_id="j")
    known = after(after(NO_EXPERIENCE, job, make_deployment("a", SERVER, CHUTE, 2)))
    assert known == NO_EXPERIENCE


def test_newer_starts_count_more_and_old_tallies_fade() -> None:
    first = starting("a")
    known = after(after(NO_EXPERIENCE, first), replace(first, state=DeploymentState.ACTIVE, activated_at=NOW))
    second = starting("b", created_at=NOW - 200)
    known = after(after(known, second), replace(second, state=DeploymentState.ACTIVE, activated_at=NOW))
    assert known.seconds[CHUTE.id] == pytest.approx(130.0)
    tally = Tally(250.0, 50.0).plus(active=False)
    assert (tally.active, tally.lost) == (125.0, 26.0)


def test_what_was_learned_moves_the_expectations_and_the_value() -> None:
    snapshot = make_snapshot((SERVER,), (CHUTE, make_chute(1, public=False)))
    columns, configuration = build_columns(snapshot), Configuration()
    known = Experience(seconds={CHUTE.id: 1800.0, "gone": 1.0}, private=Tally(0.0, 90.0))
    plain, taught = expectations(columns, configuration), expectations(columns, configuration, known)
    assert (plain.start_seconds[0], taught.start_seconds[0]) == (300.0, 1800.0)
    assert plain.success[1] == pytest.approx(configuration.value.success_rate)
    assert taught.success[1] == pytest.approx(0.09)
    before, now = launch_rates(columns, configuration, plain), launch_rates(columns, configuration, taught)
    assert (now < before).all()


def test_a_decision_passes_its_experience_on_and_keeps_it_while_sources_are_stale() -> None:
    row = starting()
    snapshot = make_snapshot((SERVER,), (CHUTE,), (row,))
    _, memory = decide(snapshot, Configuration(), Memory())
    assert set(memory.experience.starting) == {"d"}
    active = replace(row, state=DeploymentState.ACTIVE, activated_at=NOW)
    stale = replace(make_snapshot((SERVER,), (CHUTE,), (active,)), sources={})
    _, memory = decide(stale, Configuration(), memory)
    assert memory.experience.seconds == {CHUTE.id: 100.0}

"""The ledger of uses: what it keeps and forgets, and that a damaged one deletes nothing (spec: agent-monitor 20.6)."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cache import planning
from agent.cache.cleaning import ExitCode, clean
from agent.cache.ledger import LEDGER, read_uses, record_uses
from agent.cache.planning import CachePolicy
from tests.support.caches import DAY, add_repository

CHUTE = "11111111-2222-3333-4444-555555555555"
OTHER = "99999999-2222-3333-4444-555555555555"
GONE = "00000000-2222-3333-4444-555555555555"
NOTHING_MAY_STAY = CachePolicy(max_age_days=0, max_size_gb=0)
DAMAGED = ["", "{damaged", "[1]", "null", '{"%s": "today"}', '{"%s": NaN}', '{"%s": true}', "[" * 100_000]


@pytest.fixture(autouse=True)
def small_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    """A "gibibyte" of 1000 bytes: the trees stay small."""
    monkeypatch.setattr(planning, "GIB", 1000)


def old_model(root: Path, chute_id: str) -> Path:
    return add_repository(root / chute_id / "hub", "models--org--old", {"r1": [("b", 600)]}, 90)


def test_what_is_recorded_is_read_again(tmp_path: Path) -> None:
    for chute in (CHUTE, OTHER):
        (tmp_path / chute).mkdir()
    assert read_uses(tmp_path) == {}
    assert record_uses(tmp_path, [CHUTE], 1000.0) is None
    assert record_uses(tmp_path, [OTHER], 2000.5) is None
    assert read_uses(tmp_path) == {CHUTE: 1000.0, OTHER: 2000.5}


def test_a_chute_whose_directory_is_gone_is_forgotten_and_one_that_starts_is_not(tmp_path: Path) -> None:
    (tmp_path / CHUTE).mkdir()
    record_uses(tmp_path, [CHUTE, GONE, "no chute's name", "*"], 1000.0)
    assert set(read_uses(tmp_path)) == {CHUTE, GONE}, "its directory may be made a moment later"
    record_uses(tmp_path, [], 2000.0)
    assert read_uses(tmp_path) == {CHUTE: 1000.0}


def test_a_clock_that_stands_wrong_for_a_while_ages_nobody(tmp_path: Path) -> None:
    (tmp_path / CHUTE).mkdir()
    record_uses(tmp_path, [CHUTE], 5000.0)
    record_uses(tmp_path, [CHUTE], 1.0)
    assert read_uses(tmp_path) == {CHUTE: 5000.0}


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o700])
def test_the_ledger_has_the_permissions_of_the_cache(tmp_path: Path, mode: int) -> None:
    root = tmp_path / "cache"
    root.mkdir()
    root.chmod(mode)
    before = os.umask(0o077)
    try:
        record_uses(root, [CHUTE], 1000.0)
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / LEDGER).stat().st_mode) == mode & 0o666
    assert [path.name for path in root.iterdir()] == [LEDGER], "nothing is left over from the writing"


def test_a_write_that_breaks_off_leaves_the_ledger_that_was_there(tmp_path: Path) -> None:
    (tmp_path / CHUTE).mkdir()
    record_uses(tmp_path, [CHUTE], 1000.0)
    next_one = tmp_path / f"{LEDGER}.next"
    next_one.write_text("half of")
    assert read_uses(tmp_path) == {CHUTE: 1000.0}
    record_uses(tmp_path, [CHUTE], 2000.0)
    assert read_uses(tmp_path) == {CHUTE: 2000.0}
    next_one.mkdir()
    with pytest.raises(IsADirectoryError):
        record_uses(tmp_path, [CHUTE], 3000.0)
    assert read_uses(tmp_path) == {CHUTE: 2000.0}


@pytest.mark.parametrize("content", DAMAGED)
def test_x12_a_damaged_ledger_is_no_reason_to_delete(tmp_path: Path, content: str) -> None:
    kept = [old_model(tmp_path, chute) for chute in (CHUTE, OTHER)]
    (tmp_path / LEDGER).write_text(content.replace("%s", CHUTE))
    dry = clean(tmp_path, NOTHING_MAY_STAY, dry_run=True)
    assert (dry.deleted, dry.exit_code) == ((), ExitCode.PARTIAL)
    assert "is no ledger of uses" in dry.problems[0]
    first = clean(tmp_path, NOTHING_MAY_STAY)
    assert "begins anew" in first.problems[0]
    second = clean(tmp_path, NOTHING_MAY_STAY)
    assert second.problems == (), "it was mended"
    assert all(path.exists() for path in kept)


def test_a_link_in_the_place_of_the_ledger_is_not_followed(tmp_path: Path) -> None:
    root, target = tmp_path / "cache", tmp_path / "of somebody else"
    kept = old_model(root, CHUTE)
    target.write_text("{}")
    (root / LEDGER).symlink_to(target)
    clean(root, NOTHING_MAY_STAY)
    assert kept.exists()
    assert not (root / LEDGER).is_symlink()
    assert target.read_text() == "{}"


def test_a_day_after_the_loss_of_a_ledger_the_cache_is_kept_within_its_limits_again(tmp_path: Path) -> None:
    gone = old_model(tmp_path, CHUTE)
    (tmp_path / LEDGER).write_text("{damaged")
    clean(tmp_path, NOTHING_MAY_STAY)
    later = clean(tmp_path, NOTHING_MAY_STAY, now=lambda: time.time() + DAY + 60)
    assert not gone.exists()
    assert later.exit_code is ExitCode.OK


def test_a_ledger_that_cannot_be_written_is_reported_and_the_cache_is_cleaned(tmp_path: Path) -> None:
    gone = add_repository(tmp_path / "hub", "models--org--old", {"r1": [("b", 2000)]}, 90)
    (tmp_path / f"{LEDGER}.next").mkdir()
    report = clean(tmp_path, NOTHING_MAY_STAY)
    assert "no use was written down" in report.problems[0]
    assert report.exit_code is ExitCode.PARTIAL
    assert not gone.exists()


def test_x12_who_is_protected_counts_as_used_for_the_cleaners_that_come_after(tmp_path: Path) -> None:
    kept, gone = old_model(tmp_path, CHUTE), old_model(tmp_path, OTHER)
    clean(tmp_path, CachePolicy(30, 100, frozenset({CHUTE})))
    assert clean(tmp_path, NOTHING_MAY_STAY).exit_code is ExitCode.PARTIAL
    assert (kept.exists(), gone.exists()) == (True, False)


def test_x12_the_chute_that_ran_last_goes_last(tmp_path: Path) -> None:
    first, last = old_model(tmp_path, CHUTE), old_model(tmp_path, OTHER)
    now = time.time()
    record_uses(tmp_path, [OTHER], now - 3 * DAY)
    record_uses(tmp_path, [CHUTE], now - 2 * DAY)
    clean(tmp_path, CachePolicy(30, 1))
    assert (first.exists(), last.exists()) == (True, False)


def test_a_dry_run_writes_nothing_down(tmp_path: Path) -> None:
    old_model(tmp_path, CHUTE)
    clean(tmp_path, CachePolicy(0, 0, frozenset({CHUTE})), dry_run=True)
    assert not (tmp_path / LEDGER).exists()


def test_x12_with_every_chute_protected_only_the_common_places_are_cleaned(tmp_path: Path) -> None:
    kept = old_model(tmp_path, CHUTE)
    gone = add_repository(tmp_path / "hub", "models--org--old", {"r1": [("b", 600)]}, 90)
    clean(tmp_path, CachePolicy(0, 0, frozenset({"*"})))
    assert (kept.exists(), gone.exists()) == (True, False)


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda content: content.decode("latin-1")))
def test_any_content_is_a_ledger_or_an_error(tmp_path_factory: pytest.TempPathFactory, content: str) -> None:
    root = tmp_path_factory.mktemp("cache")
    (root / LEDGER).write_text(content)
    try:
        uses = read_uses(root)
    except OSError:
        return
    assert uses == json.loads(content)

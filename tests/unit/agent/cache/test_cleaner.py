"""The cache cleaner on synthetic trees (spec: agent-monitor 15.6, 20.6, 23 X12)."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cache import planning
from agent.cache.cleaning import IN_USE, ExitCode, clean
from agent.cache.ledger import LEDGER
from agent.cache.planning import CachePolicy, Reason, is_protected, plan_cleaning
from agent.cache.scan import CacheEntry, CacheScan, scan_cache
from agent.cache.settings import CleanerSettings
from app.protocol.model_cache import CacheLimits
from tests.support.caches import DAY, add_file, add_repository, age

CHUTE = "11111111-2222-3333-4444-555555555555"
OTHER = "99999999-2222-3333-4444-555555555555"
NOW = 1_000 * DAY


@pytest.fixture(autouse=True)
def small_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    """A "gibibyte" of 1000 bytes: the trees stay small."""
    monkeypatch.setattr(planning, "GIB", 1000)


def policy(age_days: int = 7, size_gb: int = 1, *protected: str, low_water: float = 0.0) -> CachePolicy:
    return CachePolicy(age_days, size_gb, frozenset(protected), low_water)


def test_x12_the_cache_of_the_starting_chute_survives_age_and_size(tmp_path: Path) -> None:
    kept = add_repository(tmp_path / CHUTE / "hub", "models--org--kept", {"r1": [("b", 5000)]}, 90)
    report = clean(tmp_path, policy(7, 1, CHUTE))
    assert kept.exists()
    assert report.exit_code is ExitCode.PARTIAL
    assert not report.is_within_limit


def test_x12_a_cold_repository_does_not_take_its_hot_siblings_with_it(tmp_path: Path) -> None:
    cold = add_repository(tmp_path / CHUTE / "hub", "models--org--cold", {"r1": [("b", 900)]}, 30)
    hot = add_repository(tmp_path / CHUTE / "hub", "models--org--hot", {"r1": [("b", 50)]}, 2)
    other_file = add_file(tmp_path / CHUTE / "notes.txt", 10, 90)
    report = clean(tmp_path, policy())
    assert not cold.exists()
    assert hot.exists()
    assert other_file.exists()
    assert [entry["name"] for entry in report.deleted] == ["models--org--cold"]


def test_x12_several_expired_repositories_in_one_place_are_no_error(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        add_repository(tmp_path / CHUTE / "hub", f"models--org--{name}", {"r1": [("b", 400)]}, 30)
        add_repository(tmp_path / "hub", f"datasets--org--{name}", {"r1": [("b", 400)]}, 30)
    report = clean(tmp_path, policy())
    assert len(report.deleted) == 6
    assert report.problems == ()
    assert report.exit_code is ExitCode.OK
    assert (tmp_path / CHUTE).is_dir()


def test_x12_an_expired_repository_of_the_common_hub_takes_no_chute_with_it(tmp_path: Path) -> None:
    add_repository(tmp_path / "hub", "models--org--old", {"r1": [("b", 2000)]}, 30)
    kept = add_repository(tmp_path / CHUTE / "hub", "models--org--new", {"r1": [("b", 100)]}, 2)
    clean(tmp_path, policy())
    assert kept.exists()


def test_x12_single_files_count_and_go_least_recently_used_first(tmp_path: Path) -> None:
    old = add_file(tmp_path / CHUTE / "civitai" / "old.safetensors", 600, 5)
    new = add_file(tmp_path / OTHER / "civitai" / "new.safetensors", 600, 3)
    common = add_file(tmp_path / "civitai" / "common.safetensors", 300, 4)
    report = clean(tmp_path, policy(30, 1), civitai=tmp_path / "civitai")
    assert (old.exists(), common.exists(), new.exists()) == (False, True, True)
    assert report.deleted[0]["reason"] == Reason.SIZE.value


def test_x12_of_two_revisions_the_older_goes_and_their_shared_blob_stays(tmp_path: Path) -> None:
    repository = add_repository(
        tmp_path / "hub",
        "models--org--two",
        {"old": [("shared", 100), ("first", 900)], "new": [("shared", 100), ("second", 500)]},
        {"old": 20, "new": 3},
    )
    report = clean(tmp_path, policy(30, 1))
    assert [entry["name"] for entry in report.deleted] == ["models--org--two@old"]
    assert sorted(path.name for path in (repository / "blobs").iterdir()) == ["second", "shared"]
    assert [path.name for path in (repository / "refs").iterdir()] == ["ref-new"]
    assert scan_cache(tmp_path).total_bytes == 600


def test_files_that_were_used_today_stay_though_all_their_revisions_look_old(tmp_path: Path) -> None:
    revisions = {"r1": [("weights", 900), ("card", 10)], "r2": [("weights", 900), ("notes", 10)]}
    repository = add_repository(tmp_path / "hub", "models--org--two", revisions, 90)
    age(repository / "blobs" / "weights", 0)
    clean(tmp_path, policy(7, 0))
    assert sorted(path.name for path in (repository / "blobs").iterdir()) == ["notes", "weights"]


def test_revisions_that_the_ledger_makes_equally_young_go_in_their_own_order(tmp_path: Path) -> None:
    revisions = {"z": [("shared", 400), ("old", 400)], "a": [("shared", 400), ("new", 400)]}
    repository = add_repository(tmp_path / CHUTE / "hub", "models--org--two", revisions, {"z": 20, "a": 10})
    (tmp_path / LEDGER).write_text(json.dumps({CHUTE: time.time() - 5 * DAY}))
    clean(tmp_path, policy(30, 1))
    assert sorted(path.name for path in (repository / "blobs").iterdir()) == ["new", "shared"]


def test_age_alone_deletes_nothing_below_the_low_water_mark(tmp_path: Path) -> None:
    kept = add_repository(tmp_path / "hub", "models--org--old", {"r1": [("b", 500)]}, 90)
    clean(tmp_path, policy(7, 1, low_water=0.8))
    assert kept.exists()


def test_the_ledger_of_the_job_builder_makes_a_chute_young(tmp_path: Path) -> None:
    kept = add_repository(tmp_path / CHUTE / "hub", "models--org--old", {"r1": [("b", 2000)]}, 90)
    (tmp_path / LEDGER).write_text(json.dumps({CHUTE: time.time()}))
    clean(tmp_path, policy())
    assert kept.exists()
    (tmp_path / LEDGER).unlink()
    clean(tmp_path, policy())
    assert not kept.exists()


def test_a_chute_that_holds_its_lock_is_left_alone_and_reported(tmp_path: Path) -> None:
    kept = add_repository(tmp_path / CHUTE / "hub", "models--org--old", {"r1": [("b", 2000)]}, 90)
    lock = os.open(tmp_path / CHUTE / IN_USE, os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        report = clean(tmp_path, policy())
    finally:
        os.close(lock)
    assert kept.exists()
    assert report.exit_code is ExitCode.PARTIAL
    assert "in use" in report.problems[0]


@pytest.mark.parametrize("linked", ["hub", "hub/models--org--mine/blobs", "civitai"])
def test_a_chute_that_links_to_the_cache_of_another_one_has_nothing_of_it_deleted(tmp_path: Path, linked: str) -> None:
    kept = add_repository(tmp_path / OTHER / "hub", "models--org--kept", {"r1": [("b", 2000)]}, 90)
    file = add_file(tmp_path / OTHER / "civitai" / "kept.safetensors", 2000, 90)
    targets = {"hub": kept.parent, "civitai": file.parent}
    link = tmp_path / CHUTE / linked
    for revision in ("r1", "r2"):
        snapshot = link.parent / "snapshots" / revision
        snapshot.mkdir(parents=True)
        age(snapshot, 90)
    link.symlink_to(targets.get(linked, kept / "blobs"))
    clean(tmp_path, policy(7, 1, OTHER))
    assert file.exists()
    assert (kept / "blobs" / "b").exists()


def test_a_link_counts_as_what_deleting_it_frees(tmp_path: Path) -> None:
    file = add_file(tmp_path / OTHER / "civitai" / "big.safetensors", 900, 90)
    link = tmp_path / CHUTE / "civitai" / "link.safetensors"
    link.parent.mkdir(parents=True)
    link.symlink_to(file)
    assert scan_cache(tmp_path).total_bytes < 1800


def test_a_pipe_in_the_place_of_a_lock_or_a_huge_reference_holds_nobody_up(tmp_path: Path) -> None:
    versions = {"r1": [("a", 800)], "r2": [("b", 800)]}
    repository = add_repository(tmp_path / CHUTE / "hub", "models--org--old", versions, {"r1": 90, "r2": 2})
    os.mkfifo(tmp_path / CHUTE / IN_USE)
    with (repository / "refs" / "huge").open("wb") as huge:
        huge.truncate(1 << 40)
    assert [entry["name"] for entry in clean(tmp_path, policy()).deleted] == ["models--org--old@r1"]


def test_a_dry_run_deletes_nothing_and_says_what_it_would(tmp_path: Path) -> None:
    kept = add_repository(tmp_path / "hub", "models--org--old", {"r1": [("b", 2000)]}, 90)
    report = clean(tmp_path, policy(), dry_run=True)
    assert kept.exists()
    assert (report.freed_bytes, report.dry_run) == (2000, True)


entries = st.lists(
    st.tuples(st.integers(0, 3000), st.integers(0, 60), st.sampled_from([CHUTE, OTHER, ""])), max_size=12
)


@given(entries, st.integers(0, 30), st.integers(0, 8), st.floats(0, 1))
def test_x12_protected_entries_survive_and_the_rest_fits_or_is_gone(
    sizes: list[tuple[int, int, str]], age_days: int, size_gb: int, low_water: float
) -> None:
    made = tuple(
        CacheEntry(f"e{n}", Path(f"/e{n}"), (Path(f"/e{n}"),), size, NOW - days * DAY, chute)
        for n, (size, days, chute) in enumerate(sizes)
    )
    limits = CachePolicy(age_days, size_gb, frozenset({CHUTE}), low_water)
    plan = plan_cleaning(CacheScan(made), limits, NOW)
    gone = {deletion.entry for deletion in plan.deletions}
    left = set(made) - gone
    assert not any(is_protected(entry, limits, NOW) for entry in gone)
    assert plan.after_bytes == sum(entry.size_bytes for entry in left)
    assert plan.is_enough == (plan.after_bytes <= limits.limit_bytes)
    assert plan.is_enough or all(is_protected(entry, limits, NOW) for entry in left)


def test_overrides_hold_for_their_node_alone() -> None:
    values = {"cache_overrides": {"gpu-1": 50, "gpu-2": {"max_age_days": 1}}, "cache_max_size_gb": 9}
    assert CleanerSettings.model_validate(values | {"node_name": "gpu-1"}).limits == CacheLimits(30, 50)
    assert CleanerSettings.model_validate(values | {"node_name": "gpu-2"}).limits == CacheLimits(1, 9)
    assert CleanerSettings.model_validate(values | {"node_name": "gpu-3"}).limits == CacheLimits(30, 9)


def run_program(root: Path, **environment: str) -> tuple[int, dict[str, object]]:
    values = {"HF_HOME": str(root), "GPU_IDLE_SECONDS": "0", "PATH": os.environ["PATH"], **environment}
    values |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-m", "agent.cache"], env=values, capture_output=True, text=True, check=False
    )
    return done.returncode, json.loads(done.stdout)


def test_the_program_reports_json_and_ends_with_the_right_code(tmp_path: Path) -> None:
    assert run_program(tmp_path)[0] == 0
    assert run_program(tmp_path / "missing")[0] == 1
    assert run_program(tmp_path, CACHE_MAX_SIZE_GB="many")[0] == 1
    add_repository(tmp_path / CHUTE / "hub", "models--org--kept", {"r1": [("b", 50)]}, 90)
    full = {"CACHE_MAX_SIZE_GB": "0", "CLEANUP_EXCLUDE": CHUTE}
    code, report = run_program(tmp_path, **full)
    assert (code, report["is_within_limit"]) == (3, False)
    assert run_program(tmp_path, **full, INIT_CONTAINER="true")[0] == 0


def test_a_cache_that_another_cleaner_works_on_is_left_to_it_and_the_chute_starts(tmp_path: Path) -> None:
    kept = add_repository(tmp_path / "hub", "models--org--old", {"r1": [("b", 2000)]}, 90)
    quick = {"CACHE_MAX_SIZE_GB": "0", "LOCK_WAIT_SECONDS": "0.1"}
    with (tmp_path / ".headframe-cleaner.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, report = run_program(tmp_path, **quick)
        assert (code, list(report)) == (ExitCode.PARTIAL, ["busy"])
        assert run_program(tmp_path, **quick, INIT_CONTAINER="true")[0] == ExitCode.OK
    assert kept.exists()
    assert run_program(tmp_path, **quick)[0] == ExitCode.OK
    assert not kept.exists()

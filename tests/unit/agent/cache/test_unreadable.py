"""What cannot be read is reported, counts as there, and is never deleted (spec: agent-monitor 20.6)."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cache.cleaning import IN_USE, CleaningReport, ExitCode, clean
from agent.cache.ledger import LEDGER
from agent.cache.planning import GIB, CachePolicy
from agent.cache.scan import scan_cache
from tests.support.caches import DAY, add_file, add_repository, age
from tests.support.unprivileged import folder_of_nobody, unprivileged

CHUTE = "11111111-2222-3333-4444-555555555555"
NOTHING_MAY_STAY = CachePolicy(max_age_days=7, max_size_gb=0)


@pytest.fixture(name="cache")
def _cache() -> Iterator[Path]:
    """The folder of a user who is not root, with one old repository that may go."""
    with folder_of_nobody() as folder:
        with unprivileged():
            add_repository(folder / "hub", "models--org--readable", {"r1": [("b", 100)]}, 90)
        yield folder


def clean_all_but(cache: Path, hidden: Path) -> CleaningReport:
    """A run that may delete everything, while one place cannot be read."""
    with unprivileged():
        mode = hidden.stat().st_mode
        hidden.chmod(0)
        try:
            report = clean(cache, NOTHING_MAY_STAY)
        finally:
            hidden.chmod(mode)
    return report


def add_old(cache: Path, name: str, *, revisions: int = 1) -> Path:
    with unprivileged():
        versions = {f"r{n}": [(f"b{n}", 500)] for n in range(revisions)}
        return add_repository(cache / CHUTE / "hub", name, versions, 90)


@pytest.mark.parametrize("hidden", ["blobs", "snapshots", "snapshots/r1", "refs"])
def test_x12_a_repository_of_which_a_part_cannot_be_read_stays_whole(cache: Path, hidden: str) -> None:
    kept = add_old(cache, "models--org--kept", revisions=2)
    before = sorted(kept.rglob("*"))
    report = clean_all_but(cache, kept / hidden)
    assert sorted(kept.rglob("*")) == before
    assert [entry["name"] for entry in report.deleted] == ["models--org--readable"]
    assert str(kept) in report.problems[0]
    assert report.exit_code is ExitCode.PARTIAL


@pytest.mark.parametrize("hidden", ["", "hub", "civitai"])
def test_x12_an_unreadable_folder_is_reported_and_is_no_empty_one(cache: Path, hidden: str) -> None:
    kept = add_old(cache, "models--org--kept")
    with unprivileged():
        file = add_file(cache / CHUTE / "civitai" / "kept.safetensors", 500, 90)
    report = clean_all_but(cache, cache / CHUTE / hidden)
    assert kept.exists() or hidden == "civitai"
    assert file.exists() or hidden == "hub"
    assert "Permission denied" in report.problems[0]
    assert not report.is_within_limit, "nobody knows how much is in there"


def test_a_cache_whose_root_cannot_be_read_is_an_error(cache: Path) -> None:
    with pytest.raises(PermissionError):
        clean_all_but(cache, cache)


def test_a_lock_that_cannot_be_looked_at_keeps_what_it_may_guard(cache: Path) -> None:
    kept = add_old(cache, "models--org--kept")
    lock = cache / CHUTE / IN_USE
    with unprivileged():
        lock.touch()
    report = clean_all_but(cache, lock)
    assert kept.exists()
    assert str(lock) in report.problems[0]


def test_what_is_no_lock_keeps_nothing(cache: Path) -> None:
    gone = add_old(cache, "models--org--gone")
    with socket.socket(socket.AF_UNIX) as listener, unprivileged():
        here = Path.cwd()
        os.chdir(cache / CHUTE)  # names of sockets are short
        try:
            listener.bind(IN_USE)
        finally:
            os.chdir(here)
        assert clean(cache, NOTHING_MAY_STAY).problems == ()
    assert not gone.exists()


@pytest.mark.parametrize("content", ["{damaged", "[1]"])
def test_a_damaged_ledger_is_reported(cache: Path, content: str) -> None:
    (cache / LEDGER).write_text(content)
    (problem,) = scan_cache(cache).problems
    assert str(cache / LEDGER) in problem


def test_files_that_vanish_while_they_are_read_are_no_problem(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_file(cache / "civitai" / "gone.safetensors", 10, 90)
    real = Path.lstat

    def lstat(path: Path) -> os.stat_result:
        if path.name in {"gone.safetensors", "b"}:
            path.unlink(missing_ok=True)
        return real(path)

    monkeypatch.setattr(Path, "lstat", lstat)
    scan = scan_cache(cache)
    assert [entry.name for entry in scan.entries] == ["models--org--readable"]
    assert scan.problems == ()


def test_the_holes_of_a_sparse_file_free_nothing(cache: Path) -> None:
    repository = cache / "hub" / "models--org--readable"
    for sparse in (repository / "blobs" / "sparse", cache / "civitai" / "sparse.safetensors"):
        sparse.parent.mkdir(exist_ok=True)
        with sparse.open("wb") as file:
            file.truncate(100 * GIB)
        age(sparse, 1)
    assert scan_cache(cache).total_bytes == 100
    report = clean(cache, CachePolicy(max_age_days=0, max_size_gb=1), now=lambda: 1e12 + DAY)
    assert json.dumps(report.deleted) == "[]", "a cache with 100 bytes in it is below its limit of 1 GiB"

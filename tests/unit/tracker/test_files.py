"""Snapshot files: the required format, files of others, and writing whole or not at all."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.chains import chain, snapshot_of
from tracker import files
from tracker.errors import StorageError
from tracker.model import Snapshot

TAKEN = snapshot_of(chain(), 5_009_997)


def test_a_file_has_the_required_name_and_keys(tmp_path: Path) -> None:
    path, is_new = files.write(TAKEN, tmp_path)
    document = json.loads(path.read_bytes())
    assert is_new
    assert path.name == "snapshot_2025-10-10T18-12-44+00-00.json"
    assert document["timestamp"] == "2025-10-10T18:12:44+00:00"
    assert document["network"] == "simulated"
    entry = document["subnets"]["5"]
    assert entry["n_neurons"] == 300 == len(entry["uid_hotkey_map"])
    assert entry["block"] == 5_009_997
    assert list(entry["uid_hotkey_map"])[255:258] == ["255", "256", "257"]
    assert isinstance(entry["burn_rao"], int)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path, _ = files.write(TAKEN, tmp_path)
    assert files.read(path) == TAKEN


def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    path, _ = files.write(TAKEN, tmp_path)
    path.write_text("mine")
    again, is_new = files.write(TAKEN, tmp_path)
    assert (again, is_new, path.read_text()) == (path, False, "mine")
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_of_the_earlier_tool_is_read(tmp_path: Path) -> None:
    path = tmp_path / "snapshot_x.json"
    subnets = {"2": {"uid_hotkey_map": {"0": "A", "1": "B"}, "n_neurons": 2, "block": 7}}
    path.write_text(json.dumps({"timestamp": "2026-01-01T02:00:00+02:00", "network": "finney", "subnets": subnets}))
    found = files.read(path)
    assert (found.block, found.timestamp) == (7, datetime(2026, 1, 1, tzinfo=UTC))
    assert found.subnets[2].hotkeys == {0: "A", 1: "B"}
    assert found.subnets[2].registered_at is None
    assert not found.is_torn


def test_different_blocks_in_one_file_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "snapshot_x.json"
    subnets = {str(n): {"uid_hotkey_map": {}, "n_neurons": 0, "block": 7 + n} for n in (1, 2)}
    path.write_text(json.dumps({"timestamp": "2026-01-01T00:00:00", "network": "finney", "subnets": subnets}))
    found = files.read(path)
    assert found.is_torn
    assert found.block == 9


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is no snapshot"),
        ('{"timestamp": "2026-01-01T00:00:00Z", "network": "finney"', "is no snapshot"),
        ("[]", "no object `subnets`"),
        ('{"subnets": {}}', "no text `timestamp`"),
        ('{"subnets": {"1": {}}, "timestamp": "2026-01-01T00:00:00Z", "network": "n"}', "subnet 1 has no"),
    ],
)
def test_a_broken_file_is_named_and_skipped(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "snapshot_broken.json").write_text(content)
    files.write(TAKEN, tmp_path)
    snapshots, broken = files.read_all(tmp_path)
    assert [one.block for one in snapshots] == [TAKEN.block]
    assert message in broken[0].reason
    assert "snapshot_broken.json" in broken[0].reason


def test_files_come_by_time_and_not_by_name(tmp_path: Path) -> None:
    early, late = snapshot_of(chain(), 5_000_000), snapshot_of(chain(), 5_001_000)
    (tmp_path / "snapshot_9.json").write_bytes(files.encode(early))
    (tmp_path / "snapshot_1.json").write_bytes(files.encode(late))
    assert [one.block for one in files.read_all(tmp_path)[0]] == [5_000_000, 5_001_000]


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        files.write(TAKEN, tmp_path / "file" / "folder")


def test_a_missing_file_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot read"):
        files.read(tmp_path / "snapshot_none.json")


def test_an_empty_snapshot_round_trips() -> None:
    empty = Snapshot(
        "n", 0, datetime(2026, 1, 1, 0, 0, 0, 250, tzinfo=UTC), {}, taken_at=datetime(2026, 1, 2, tzinfo=UTC)
    )
    assert files.decode(files.encode(empty)) == empty

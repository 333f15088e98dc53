"""What the hourly tracker tells Prometheus through a text file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tracker.errors import StorageError
from tracker.exposition import write_metrics
from tracker.model import Snapshot, Subnet


def test_a_file_holds_prices_and_my_seats(tmp_path: Path) -> None:
    subnets = {
        64: Subnet(64, {0: "5Mine", 1: "5Other"}, {0: 900}, burn_rao=1_500_000_000),
        7: Subnet(7, {0: "5Other"}),
    }
    taken = Snapshot("finney", 1000, datetime(2026, 1, 1, tzinfo=UTC), subnets)
    path = tmp_path / "tracker.prom"
    write_metrics(path, taken, ("5Mine", "5Gone"))
    families = text_string_to_metric_families(path.read_text())
    found = {(s.name, *sorted(s.labels.values())): s.value for family in families for s in family.samples}
    assert found == {
        ("headframe_tracker_block",): 1000,
        ("headframe_tracker_block_time_seconds",): 1767225600,
        ("headframe_tracker_neurons", "64"): 2,
        ("headframe_tracker_neurons", "7"): 1,
        ("headframe_tracker_registration_tao", "64"): 1.5,
        ("headframe_tracker_hotkey_seats", "5Mine"): 1,
        ("headframe_tracker_hotkey_seats", "5Gone"): 0,
        ("headframe_tracker_hotkey_age_blocks", "5Mine", "64"): 100,
    }
    assert [item.name for item in tmp_path.iterdir()] == ["tracker.prom"]


def test_a_file_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    taken = Snapshot("finney", 1000, datetime(2026, 1, 1, tzinfo=UTC), {})
    with pytest.raises(StorageError, match="TRACKER_METRICS_FILE"):
        write_metrics(tmp_path / "none" / "tracker.prom", taken, ())

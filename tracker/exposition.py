"""What a snapshot shows as Prometheus metrics, for a node exporter that reads text files.

The tracker runs by the hour and cannot be scraped. No chain, no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from tracker.errors import StorageError
from tracker.model import RAO_PER_TAO, Snapshot


class TrackerMetrics:
    """One attribute per metric, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        prefix, one = "headframe_tracker", self.registry
        self.block = Gauge(f"{prefix}_block", "Number of the newest snapshot's block.", registry=one)
        self.block_time = Gauge(f"{prefix}_block_time_seconds", "Time of that block, Unix seconds.", registry=one)
        self.neurons = Gauge(f"{prefix}_neurons", "Neurons of a subnet.", ["netuid"], registry=one)
        self.registration = Gauge(f"{prefix}_registration_tao", "Price of a seat in TAO.", ["netuid"], registry=one)
        self.seats = Gauge(f"{prefix}_hotkey_seats", "Seats of one of my hotkeys.", ["hotkey"], registry=one)
        self.age = Gauge(
            f"{prefix}_hotkey_age_blocks", "Blocks since it was registered.", ["hotkey", "netuid"], registry=one
        )

    def show(self, snapshot: Snapshot, hotkeys: Sequence[str]) -> None:
        """Set everything from one snapshot; what it does not say is not shown."""
        self.block.set(snapshot.block)
        self.block_time.set(snapshot.timestamp.timestamp())
        seats = dict.fromkeys(hotkeys, 0)
        for netuid, subnet in snapshot.subnets.items():
            self.neurons.labels(str(netuid)).set(subnet.count)
            if subnet.burn_rao is not None:
                self.registration.labels(str(netuid)).set(subnet.burn_rao / RAO_PER_TAO)
            for uid, hotkey in subnet.hotkeys.items():
                if hotkey in seats:
                    seats[hotkey] += 1
                    if uid in subnet.registered:
                        self.age.labels(hotkey, str(netuid)).set(snapshot.block - subnet.registered[uid])
        for hotkey, count in seats.items():
            self.seats.labels(hotkey).set(count)


def write_metrics(path: Path, snapshot: Snapshot, hotkeys: Sequence[str]) -> None:
    """Replace the file in one step; a reader never sees half of it.

    Raises:
        StorageError: it cannot be written.
    """
    metrics = TrackerMetrics()
    metrics.show(snapshot, hotkeys)
    try:
        write_to_textfile(str(path), metrics.registry)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}; set TRACKER_METRICS_FILE anew") from error

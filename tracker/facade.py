"""The names of the earlier tool as plain, blocking calls: thin fronts, no logic of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from tracker import cost, cost_table, files, show
from tracker.chain.connect import Endpoint, connect
from tracker.classify import Comparison, compare
from tracker.errors import StorageError
from tracker.model import Snapshot
from tracker.ranking import Ranking, SortBy, rank_snapshots
from tracker.scan import take_snapshot

_T = TypeVar("_T")


def _run(call: Coroutine[object, object, _T]) -> _T:
    return asyncio.run(call)


def get_registration_cost(netuid: int, network: str = "finney") -> cost.SubnetCost:
    """Price of a registration now, with its bounds, whether it is open, and the block.

    Raises:
        TrackerError: the chain could not be read, or there is no such subnet.
    """

    async def read() -> cost.SubnetCost:
        async with connect(Endpoint(network)) as reader:
            return await cost.read_cost(reader, netuid)

    return _run(read())


def compare_registration_costs(netuids: Sequence[int], network: str = "finney") -> cost.CostComparison:
    """Prices of several subnets at one block, cheapest first; numbers that name no subnet stand apart."""

    async def read() -> cost.CostComparison:
        async with connect(Endpoint(network)) as reader:
            return await cost.read_costs(reader, netuids)

    return _run(read())


def estimate_registration_usd(netuid: int, tao_price_usd: float | Decimal | str, network: str = "finney") -> Decimal:
    """The price in dollars at a TAO price that the caller names.

    Raises:
        ValueError: the TAO price is not a positive number, or the subnet sells no registrations.
    """
    cost.to_usd(0, tao_price_usd)
    found = get_registration_cost(netuid, network)
    if found.burn_rao is None:
        raise ValueError(f"subnet {netuid} has no burn registration")
    return cost.to_usd(found.burn_rao, tao_price_usd)


def get_all_subnet_costs(output_csv: str | Path | None = None, network: str = "finney") -> tuple[cost.SubnetCost, ...]:
    """Prices of all subnets at one block; written as CSV, too, if a path is given."""

    async def read() -> cost.CostComparison:
        async with connect(Endpoint(network)) as reader:
            return await cost.read_costs(reader)

    found = _run(read()).costs
    if output_csv is not None:
        cost_table.write_csv(found, Path(output_csv))
    return found


class SubnetCompetitionTracker:
    """Snapshots in a folder, and what they say.

    Args:
        network: network name or websocket URL.
        snapshot_dir: folder of the files.
    """

    def __init__(self, network: str = "finney", snapshot_dir: str | Path = "snapshots") -> None:
        self.network = network
        self.snapshot_dir = Path(snapshot_dir)

    def take_snapshot(self) -> Path:
        """Take a snapshot at the finalized head and write its file; the path is the old one if the block is there."""

        async def scan() -> Snapshot:
            async with connect(Endpoint(self.network)) as reader:
                return await take_snapshot(reader, now=lambda: datetime.now(UTC))

        return files.write(_run(scan()), self.snapshot_dir)[0]

    def analyze_competition(self, sort_by: SortBy | str = SortBy.REPLACEMENTS) -> Ranking:
        """Rank the subnets over all files of the folder.

        Raises:
            NotEnoughSnapshotsError: fewer than two usable files.
            StorageError: files of more than one network.
        """
        snapshots, _ = files.read_all(self.snapshot_dir)
        networks = sorted({snapshot.network for snapshot in snapshots})
        if len(networks) > 1:
            raise StorageError(f"{self.snapshot_dir} holds snapshots of several networks: {', '.join(networks)}")
        return rank_snapshots(snapshots, SortBy(sort_by))

    def compare_snapshots(self, snapshot1: str | Path, snapshot2: str | Path) -> Comparison:
        """Compare two files, given in either order."""
        return compare(files.read(Path(snapshot1)), files.read(Path(snapshot2)))

    def print_competition_ranking(self, sort_by: SortBy | str = SortBy.REPLACEMENTS, top: int = 20) -> None:
        """Print the ranking as a table."""
        Console().print(show.ranking_table(self.analyze_competition(sort_by), top))

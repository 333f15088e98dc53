"""What `risk`, `report` and `watch` share: my hotkeys out of options and settings, and the rates out of the store."""

from __future__ import annotations

from tracker.chain.reader import ChainReader
from tracker.cli.common import Common, network_of, open_store, utc_now
from tracker.errors import TrackerError
from tracker.ranking import SortBy
from tracker.scan import ScanOptions
from tracker.store.query import Range, rank
from tracker.watched import Watched, read_watched


async def watched_of(
    reader: ChainReader, common: Common, hotkeys: tuple[str, ...], netuid: int | None = None
) -> Watched:
    """How my neurons stand; no hotkey given takes those of the settings.

    Raises:
        ValueError: no hotkey is named anywhere.
        TrackerError: the chain could not be read.
    """
    settings = common.settings
    mine = hotkeys or settings.hotkeys
    if not mine:
        raise ValueError("name a hotkey to watch: --hotkey ADDRESS, or set TRACKER_HOTKEYS")
    options = ScanOptions(chunk_keys=settings.chunk_keys)
    return await read_watched(reader, mine, await _rates(common), now=utc_now, netuid=netuid, options=options)


async def _rates(common: Common) -> dict[int, float]:
    """Registrations a day by netuid, as the store proves them; empty where it cannot say."""
    try:
        async with open_store(common.settings) as (engine, store):
            network = await network_of(store, common.settings, common.network)
            ranking = await rank(engine, Range(network), SortBy.CHANGES, include_root=True)
    except TrackerError:
        return {}
    return {row.netuid: row.per_day(row.counts.true_registrations) for row in ranking.rows if row.corrected}

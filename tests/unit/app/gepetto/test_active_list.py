"""An empty list of active instances is not believed, and yet holds no place for ever: the count of the demand does."""

from __future__ import annotations

import asyncio

from app.gepetto.ingest.feeds import FeedReader
from app.gepetto.ingest.world import World
from app.gepetto.world.columns import room_of
from app.protocol.chutes import ChuteRecord, NodeSelector, Utilization
from app.protocol.instances import ActiveInstance
from tests.support.gepetto import HOTKEY, NOW
from tests.support.gepetto_outside import FakeValidator


class QuietReader(FeedReader):
    """Definitions are not written: there is no database here."""

    async def write_definitions(self) -> int:
        return 0


def test_where_every_copy_ended_at_once_there_is_room_again_without_a_restart() -> None:
    now = [NOW]
    validator, world = FakeValidator(), World(HOTKEY)
    reader = QuietReader(world, validator, None, lambda: now[0])  # type: ignore[arg-type]
    validator.chute_list = [ChuteRecord(chute_id="c", version="1", node_selector=NodeSelector())]
    validator.usage = [Utilization(chute_id="c", target_count=1, total_instance_count=1)]
    validator.active_list = [
        ActiveInstance(instance_id="i", chute_id="c", miner_hotkey=HOTKEY, activated_at="2026-01-01T00:00:00Z")
    ]

    def room_after(seconds: float) -> int:
        now[0] += seconds
        asyncio.run(reader.refresh())
        [chute] = world.snapshot(now[0]).chutes
        return room_of(chute)

    assert room_after(0) == 0
    validator.active_list = []
    validator.usage = [Utilization(chute_id="c", target_count=1, total_instance_count=0)]
    assert room_after(30) == 0
    assert [item.instance_id for item in world.active] == ["i"]
    assert room_after(world.fresh_seconds) == 1

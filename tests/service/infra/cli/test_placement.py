"""The lock that `headframe drain` sets, in our own miner API on a real database."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import pytest

from app.storage.seed import SERVERS
from infra.cli.placement import ApiLock, Locked, LockOptions, PlacementError
from infra.spec import HostRole
from lab.services.redis import EmbeddedRedis
from lab.validator.app import SimulatedValidator
from tests.support.api import serving, settings
from tests.support.control import MINER, VALIDATOR, entry_of
from tests.support.databases import database_url, template
from tests.support.specs import host_spec

pytestmark = pytest.mark.service
__all__ = ["database_url", "template"]
NODE = SERVERS[0][0]


@pytest.fixture
def hotkey(tmp_path: Path) -> Path:
    path = tmp_path / "hotkey.json"
    seed = hashlib.sha256(b"headframe test key miner").hexdigest()
    path.write_text(json.dumps({"ss58Address": MINER.ss58, "secretSeed": f"0x{seed}"}))
    return path


async def test_a_node_is_locked_once_and_unlocked_again(
    database_url: str, redis: object, redis_server: EmbeddedRedis, hotkey: Path
) -> None:
    control = host_spec(name="control", role=HostRole.CONTROL)
    async with (
        SimulatedValidator(VALIDATOR.ss58).listening() as validator,
        serving(settings(database_url, redis_server.url, validator=entry_of(validator))) as url,
    ):
        placement = LockOptions(hotkey=hotkey, miner_api=url).placement([control])
        assert isinstance(placement, ApiLock)
        assert await asyncio.to_thread(placement.stop, NODE) is Locked.NOW
        assert await asyncio.to_thread(placement.stop, NODE) is Locked.BEFORE
        assert await asyncio.to_thread(placement.stop, "gpu-unknown") is Locked.UNKNOWN_SERVER
        await asyncio.to_thread(placement.resume, NODE)
        await asyncio.to_thread(placement.resume, "gpu-unknown")
        assert await asyncio.to_thread(placement.stop, NODE) is Locked.NOW


def test_an_api_that_is_away_is_told_with_what_to_do(hotkey: Path) -> None:
    placement = LockOptions(hotkey=hotkey, miner_api="http://127.0.0.1:9").placement([])
    with pytest.raises(PlacementError, match="Nothing was disrupted"):
        placement.stop(NODE)
    with pytest.raises(PlacementError, match="stays locked"):
        placement.resume(NODE)

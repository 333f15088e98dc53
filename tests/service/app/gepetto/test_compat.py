"""Contract B, mode 3: a complete file over every import name of the table (spec: gepetto 24.7, 27.17)."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bittensor_wallet import Keypair
from redis.asyncio import Redis

from app.compat import TABLE, config, install, redis_pubsub, runtime
from app.compat.names import CompatFinder
from app.gepetto.files.full import run_full
from app.protocol.channels import MINER_EVENTS
from app.protocol.signing import Signer
from app.protocol.validators import ValidatorEntry
from lab.services.redis import EmbeddedRedis
from tests.service.app.gepetto.conftest import Stage
from tests.support.gepetto import VALIDATOR

pytestmark = pytest.mark.service
#: Kept as text: it is an operator's file, not code of ours, and imports names that exist only at run time.
FILE = Path(__file__).parent / "every_public_name.py.txt"


@pytest.fixture(autouse=True)
def clean_imports() -> Iterator[None]:
    yield
    runtime._Holder.runtime = None
    for name in [*TABLE, "gepetto_file"]:
        sys.modules.pop(name, None)
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, CompatFinder)]


def facts(stage: Stage, redis_url: str = "redis://127.0.0.1:1/0") -> runtime.Runtime:
    entry = ValidatorEntry(hotkey=VALIDATOR, api="https://validator.invalid", socket="wss://validator.invalid")
    return runtime.Runtime(
        engine=stage.engine,
        executor=stage.restart(),
        clusters=stage.clusters,
        signer=Signer(Keypair.create_from_mnemonic(Keypair.generate_mnemonic())),
        validators=(entry,),
        redis_url=redis_url,
        clock=lambda: 1_700_000_000.0,
        options={"namespace": "chutes"},
    )


def test_27_17_every_name_of_the_table_can_be_imported_and_nothing_else() -> None:
    install()
    install()
    for name in TABLE:
        assert importlib.import_module(name).__name__ == name
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("chutes_miner.api.something_else")
    assert sum(isinstance(finder, CompatFinder) for finder in sys.meta_path) == 1


def test_the_file_of_this_test_uses_every_name_of_the_table() -> None:
    text = FILE.read_text()
    parents = {name for name in TABLE if any(other.startswith(f"{name}.") for other in TABLE)}
    own = {name for name in TABLE if name.startswith("headframe") or name == "chutes_common.schemas.orms"}
    assert [name for name in TABLE if name not in text and name not in parents | own] == []
    assert "import Base, orms" in text


async def test_27_17_a_complete_file_reconciles_scales_and_handles_events_over_our_names(
    stage: Stage, tmp_path: Path
) -> None:
    await stage.add_server()
    await stage.add_chute(gpu_count=2)
    path = tmp_path / "gepetto.py"
    path.write_text(FILE.read_text())
    await run_full(path, facts(stage))
    done = sys.modules["gepetto_file"].DONE
    job = done.pop("job")
    assert job.startswith("chute-")
    assert done == {
        "signed": True,
        "purposes": [None, None],
        "validator": True,
        "settings": ("chutes", "redis://127.0.0.1:1/0"),
        "tables": True,
        "dialect": "postgresql",
        "nodes": ["node-000"],
        "pods": 0,
        "legacy": [],
        "gpus": 8,
        "ready": True,
        "deployed": 1,
        "failure": "the chute or the server is not known",
        "preflight": True,
        "left": 0,
        "agent": "refused",
        "bounties": ["chute-000"],
        "third": True,
    }
    assert await stage.is_clean()


async def test_a_file_without_an_entry_is_refused(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "gepetto.py"
    path.write_text("x = 1")
    with pytest.raises(TypeError, match="neither main"):
        await run_full(path, facts(stage))


async def test_public_settings_name_what_they_lack_and_need_a_runtime(stage: Stage) -> None:
    with pytest.raises(RuntimeError, match="no runtime"):
        _ = config.settings.miner_ss58
    runtime.use(facts(stage))
    with pytest.raises(AttributeError, match="of_nothing"):
        _ = config.settings.of_nothing


async def test_the_listener_hears_events_and_outlives_failing_handlers(
    stage: Stage, redis_server: EmbeddedRedis, redis: Redis
) -> None:
    runtime.use(facts(stage, redis_server.url))
    listener, heard = redis_pubsub.RedisListener(), asyncio.Event()

    @listener.on_event("bounty_change")
    async def failing(data: dict[str, object]) -> None:
        raise ValueError("as told")

    @listener.on_event("bounty_change")
    async def hearing(data: dict[str, object]) -> None:
        heard.set()

    await listener.dispatch(b"nonsense")
    bounty = b'{"event_type": "bounty_change", "event_data": {"chute_id": "c"}}'
    await listener.dispatch(bounty)
    assert heard.is_set(), "the failing handler kept the other from the event"
    heard.clear()
    task = asyncio.create_task(listener.start())
    async with asyncio.timeout(10):
        while not heard.is_set():  # the subscription may come after the first message
            await redis.publish(MINER_EVENTS, bounty)
            await asyncio.sleep(0.05)
    assert not task.done(), "the failing handler ended the listener"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

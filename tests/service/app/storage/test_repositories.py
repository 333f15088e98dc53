"""Repositories against a real database: claims are all or none, events set what they name, intents survive."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.protocol.chutes import ChuteRecord
from app.storage import chutes, deployments, intents, servers
from app.storage.__main__ import run
from app.storage.additions import IntentKind, NodeKind, NodeProfile
from app.storage.engine import create_engine, is_outage, try_lock, unlock
from app.storage.migrate import migrate
from app.storage.models import Deployment, Gpu, Server
from app.storage.sealing import Vault
from app.storage.seed import CHUTES, SERVERS, gpu_id, seed, seed_id

pytestmark = pytest.mark.service

SERVER = SERVERS[2][0]
CHUTE = seed_id(CHUTES[2][0])
NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database_url, pool_size=2)
    await migrate(engine)
    yield engine
    await engine.dispose()


@pytest.fixture
async def session(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session:
        await seed(session, "v")
        await session.commit()
        yield session


def stub(name: str) -> Deployment:
    return Deployment(
        deployment_id=name, validator="v", chute_id=CHUTE, server_id=seed_id(SERVER), version="1", stub=True,
        config_id=f"config-{name}",
    )  # fmt: skip


async def test_seeding_twice_gives_the_same_rows(session: AsyncSession) -> None:
    before = len(await deployments.list_all(session))
    await seed(session, "v")
    await session.commit()
    assert (len(await servers.list_all(session)), len(await chutes.list_all(session))) == (3, 3)
    assert len(await deployments.list_all(session)) == before == 3


async def test_a_server_is_found_by_name_id_and_address(session: AsyncSession) -> None:
    for key in (SERVER, seed_id(SERVER)):
        found = await servers.find(session, key)
        assert found is not None
        assert found.name == SERVER
    assert await servers.find(session, "nobody") is None
    by_address = await servers.find_by_address(session, "192.0.2.12")
    assert by_address is not None
    assert by_address.name == SERVER


async def test_gpus_are_claimed_all_or_none(session: AsyncSession) -> None:
    free, held = gpu_id(SERVER, 2), gpu_id(SERVER, 0)
    with pytest.raises(deployments.GpusTakenError, match="wanted 2 free GPUs, 1"):
        await deployments.insert_with_gpus(session, stub("d1"), [free, held])
    await session.rollback()
    await deployments.insert_with_gpus(session, stub("d2"), [free, gpu_id(SERVER, 3)])
    await session.commit()
    assert await deployments.find(session, "d1") is None
    assert await deployments.find(session, "d2") is not None


async def test_events_set_what_they_name(session: AsyncSession) -> None:
    await deployments.insert_with_gpus(session, stub("d"), [gpu_id(SERVER, 2)])
    await deployments.set_launched(session, "d", host="192.0.2.12", port=31234)
    assert await deployments.set_instance(session, "config-d", "i")
    assert await deployments.set_verified(session, "i", NOW)
    assert not await deployments.set_verified(session, "i", NOW)
    assert await deployments.set_activated(session, "config-d", NOW)
    assert not await deployments.set_instance(session, "config-x", "i")
    await session.commit()
    found = await deployments.find_instance(session, "i")
    assert found is not None
    await session.refresh(found)
    assert (found.instance_id, found.verified_at, found.active, found.stub, found.port) == (
        "i",
        NOW,
        True,
        False,
        31234,
    )
    assert await deployments.find_instance(session, None, "config-d") is found
    assert await deployments.find_instance(session, None) is None
    assert await deployments.remove(session, "d")
    assert not await deployments.remove(session, "d")


async def test_a_ban_survives_an_upsert_unless_the_validator_updated_the_chute(session: AsyncSession) -> None:
    chute = await chutes.find(session, CHUTE)
    assert chute is not None
    chute.ban_reason = "by hand"
    await session.flush()
    record = ChuteRecord.model_validate({"chute_id": CHUTE, "version": "2", "ref_str": "a:b", "image": "u/n:2"})
    await chutes.upsert(session, record, "v")
    await session.refresh(chute)
    assert (chute.version, chute.ban_reason) == ("2", "by hand")
    await chutes.upsert(session, record, "v", clear_ban=True)
    await chutes.set_images(session, {CHUTE: ("u/n:3", "0.4.0")})
    again = await chutes.find(session, CHUTE)
    assert again is not None
    await session.refresh(again)
    assert [again.ban_reason, again.image, again.chutes_version] == [None, "u/n:3", "0.4.0"]
    assert await chutes.remove(session, CHUTE)


async def test_a_validators_word_does_not_open_a_gpu_while_its_server_is_being_added(
    session: AsyncSession, engine: AsyncEngine
) -> None:
    found = await servers.find(session, SERVER)
    assert found is not None
    gpu = gpu_id(SERVER, 0)
    await session.execute(update(Gpu).where(Gpu.server_id == found.server_id).values(verified=False))
    async with engine.connect() as other:
        assert await try_lock(other, servers.adding_lock(found.name))
        assert not await servers.set_gpu_verified(session, gpu)
        assert await session.scalar(select(Gpu.verified).where(Gpu.gpu_id == gpu)) is False
        await unlock(other, servers.adding_lock(found.name))
    assert await servers.set_gpu_verified(session, gpu)
    assert await session.scalar(select(Gpu.verified).where(Gpu.gpu_id == gpu)) is True


async def test_locks_profiles_and_verification_are_kept(session: AsyncSession) -> None:
    server = seed_id(SERVER)
    await servers.set_locked(session, server, locked=True)
    profile = NodeProfile(server_id=server, kind=NodeKind.BARE.value, registry_token_sha256="ab")
    await servers.save_profile(session, profile)
    assert await servers.set_gpus_verified(session, server) == 4
    assert await servers.set_gpu_verified(session, gpu_id(SERVER, 0))
    assert not await servers.set_gpu_verified(session, "unknown")
    assert [n.registry_token_sha256 for n in await servers.by_address(session, "192.0.2.12")] == ["ab"]
    assert await servers.jobs_on(session, server) == []
    assert await servers.remove(session, server)
    assert not await servers.remove(session, server)


async def test_an_intent_stays_open_until_it_is_done(session: AsyncSession) -> None:
    await intents.record(session, IntentKind.UNDEPLOY, ["a", "b"])
    await intents.record(session, IntentKind.UNDEPLOY, ["a"])
    first, second = await intents.take_open(session)
    await intents.fail(session, first.id, "no route")
    await intents.finish(session, second.id)
    await session.commit()
    (left,) = await intents.take_open(session)
    await session.refresh(left)
    assert (left.subject, left.attempts, left.last_error) == ("a", 1, "no route")


async def test_an_advisory_lock_has_one_holder(engine: AsyncEngine) -> None:
    async with engine.connect() as one, engine.connect() as other:
        assert await try_lock(one, "leader")
        assert not await try_lock(other, "leader")
        await unlock(one, "leader")
        assert await try_lock(other, "leader")
        await unlock(other, "leader")


async def test_a_database_that_is_away_is_an_outage_and_a_wrong_query_is_not(engine: AsyncEngine) -> None:
    nowhere = create_engine("postgresql+asyncpg://u@127.0.0.1:1/x")
    with pytest.raises(OSError, match="Connect call failed") as away:
        async with nowhere.connect():
            pass
    assert is_outage(away.value)
    assert not is_outage(ValueError("x"))


def test_the_command_migrates_and_seeds(database_url: str) -> None:
    command = [sys.executable, "-m", "app.storage", "seed"]
    done = subprocess.run(
        command, env=os.environ | {"POSTGRESQL": database_url}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "seed: done"), done.stderr
    assert subprocess.run([*command[:3], "x"], capture_output=True, timeout=60, check=False).returncode == 2


async def test_the_command_takes_over_kubeconfigs_that_public_programs_stored(
    session: AsyncSession, database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINER_SEED", "ab" * 32)
    await session.execute(update(Server).where(Server.name == SERVER).values(kubeconfig="clusters: []"))
    await session.commit()
    for said in (SERVER, "nothing was plain"):
        await run("seal", database_url, "v")
        assert capsys.readouterr().out.strip() == f"sealed: {said}"
    stored = (await session.execute(select(Server.kubeconfig).where(Server.name == SERVER))).scalar_one()
    assert Vault.of_seed("ab" * 32).open(seed_id(SERVER), stored or "") == "clusters: []"
    monkeypatch.setenv("MINER_SEED", "ab")
    with pytest.raises(ValueError, match="MINER_SEED has 1 bytes"):
        await run("seal", database_url, "v")

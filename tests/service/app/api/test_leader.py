"""Several workers, one leader: killed, it is replaced within 15 s and nothing of the validator's word is lost."""

from __future__ import annotations

import functools
import os
import re
import signal
import time
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.storage.engine import create_engine, lock_key
from app.storage.models import Deployment
from lab.services.redis import EmbeddedRedis
from lab.validator.app import SimulatedValidator
from tests.support.api import processes, settings
from tests.support.control import MINER, VALIDATOR, entry_of
from tests.support.waiting import answers, until

pytestmark = pytest.mark.service

TAKEOVER_SECONDS = 15


def workers_of(supervisor: int) -> list[int]:
    """Worker processes: they run the API's code and descend from the supervisor."""
    found = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return [int(pid) for pid in found if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def sockets_of(pid: int) -> set[str]:
    """Inodes of a process's sockets."""
    found = set()
    for item in Path(f"/proc/{pid}/fd").iterdir():
        try:
            name = item.readlink().name
        except OSError:
            continue
        if match := re.fullmatch(r"socket:\[(\d+)\]", name):
            found.add(match[1])
    return found


def connected_to(port: int) -> set[str]:
    """Inodes of established TCP connections to a loopback port."""
    wanted = f":{port:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {line[9] for line in lines if line[2].endswith(wanted) and line[3] == "01"}


def holder(supervisor: int, port: int) -> int | None:
    """The worker that holds the validator's socket."""
    held = connected_to(port)
    return next((pid for pid in workers_of(supervisor) if sockets_of(pid) & held), None)


async def test_a_killed_leader_is_replaced_and_the_state_equals_the_validators(
    database_url: str, redis: Redis, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    engine = create_engine(database_url)
    async with SimulatedValidator(VALIDATOR.ss58).listening() as validator, AsyncSession(engine) as session:
        config = settings(database_url, redis_server.url, validator=entry_of(validator))
        port = int(validator.url.rsplit(":", 1)[1])
        with processes(config, tmp_path / "api.log", workers=2) as (url, supervisor):
            await until(lambda: MINER.ss58 in validator.feed.sessions, seconds=60, every=0.1)
            leader = holder(supervisor, port)
            assert leader is not None, (tmp_path / "api.log").read_text()[-2000:]
            before = validator.feed.authentications
            rows = (await session.scalars(select(Deployment))).all()
            os.kill(leader, signal.SIGKILL)
            killed_at = time.monotonic()
            for number, row in enumerate(rows):  # what happens while nobody listens
                validator.state.instances[f"i-{number}"] = {
                    "instance_id": f"i-{number}", "chute_id": row.chute_id, "config_id": row.config_id, "active": True,
                    "miner_hotkey": MINER.ss58, "last_verified_at": validator.state.now_iso(), "gpus": [],
                }  # fmt: skip
            await until(lambda: validator.feed.authentications > before, seconds=TAKEOVER_SECONDS)
            print(f"another worker holds the sockets after {time.monotonic() - killed_at:.1f} s")
            assert holder(supervisor, port) not in (None, leader)

            async def is_equal() -> bool:
                async with AsyncSession(engine) as fresh:
                    found = (await fresh.scalars(select(Deployment))).all()
                    ours = {d.config_id: (d.instance_id, d.verified_at is not None, d.active) for d in found}
                theirs = {i["config_id"]: (i["instance_id"], True, True) for i in validator.state.instances.values()}
                return ours == theirs

            await until(is_equal, seconds=30, every=0.2)
            held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = :key"
            assert (await session.execute(text(held), {"key": lock_key("validator-feeds")})).scalar_one() == 1
            async with httpx.AsyncClient() as http:
                assert (await http.get(url + "/ping")).status_code == 200
    await engine.dispose()


async def test_whichever_worker_is_asked_tells_what_all_of_them_counted(
    database_url: str, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    requests = 12
    with processes(settings(database_url, redis_server.url), tmp_path / "api.log", workers=2) as (url, _):
        await until(functools.partial(answers, f"{url}/ready"), seconds=60, every=0.1)
        for _ in range(requests):
            assert await asked_anew(f"{url}/servers/", {"X-Chutes-Hotkey": MINER.ss58}) is not None
        pages = [await asked_anew(f"{url}/metrics") for _ in range(requests)]
    counted = [
        sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith("headframe_api_signatures_total"))
        for page in pages
    ]
    assert counted == [requests] * requests


async def asked_anew(url: str, headers: dict[str, str] | None = None) -> str:
    """The answer over a connection of its own, which any worker may take."""
    async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
        return (await http.get(url, headers=headers)).text

"""The hourly Job's command as its container runs it: another user, read-only but for the volume, and its exit codes."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from lab.chain.node import Faults, Refusal
from lab.services.postgres import EmbeddedPostgres
from tests.support.chains import chain, running
from tests.support.sdks import ROOT, Ran
from tests.support.sealed import refusal, sealed
from tests.support.waiting import until
from tracker import files
from tracker.errors import ExitCode
from tracker.store.database import open_engine
from tracker.store.store import Store

pytestmark = pytest.mark.service


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """The volume, writable for the Job's user; skips where the kernel allows no namespaces."""
    folder = tmp_path / "volume"
    folder.mkdir()
    if (reason := refusal(folder, tmp_path)) is not None:
        pytest.skip(f"a process cannot be sealed here: {reason}")
    (folder / "in").unlink()
    return folder


async def start(volume: Path, url: str, *, is_sealed: bool = True, **variables: str) -> asyncio.subprocess.Process:
    """Start the Job's command with the variables of its CronJob."""
    command = [sys.executable, "-m", "tracker", "snapshot"]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(ROOT),
        "HOME": str(volume),
        "TRACKER_NETWORK": url,
        "TRACKER_DIR": str(volume / "snapshots"),
        **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
        **variables,
    }
    return await asyncio.create_subprocess_exec(
        *(sealed(volume, command) if is_sealed else command),
        cwd="/",
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def job(volume: Path, url: str, *, is_sealed: bool = True, **variables: str) -> Ran:
    """One run of the Job."""
    process = await start(volume, url, is_sealed=is_sealed, **variables)
    async with asyncio.timeout(120):
        out, err = await process.communicate()
    return Ran(process.returncode or 0, out.decode(), err.decode())


def snapshots(volume: Path) -> list[str]:
    return sorted(path.name for path in (volume / "snapshots").glob("*.json"))


async def test_the_job_takes_a_snapshot_and_a_second_run_at_the_same_block_changes_nothing(volume: Path) -> None:
    async with running(chain()) as where:
        first = await job(volume, where.url)
        second = await job(volume, where.url)
        where.node.chain.head += 300
        third = await job(volume, where.url)
    assert [ran.code for ran in (first, second, third)] == [ExitCode.OK] * 3, first.err
    assert "5,009,997 taken" in first.out
    assert "5,009,997 already there" in second.out
    assert "5,010,297 taken" in third.out
    assert len(snapshots(volume)) == 2
    async with open_engine(str(volume / "snapshots" / "history.db")) as engine:
        assert [block for _, block in await Store(engine).blocks()] == [5_009_997, 5_010_297]
    assert (volume / ".bittensor").is_dir()  # what the SDK keeps between runs lies on the volume, too


@pytest.mark.parametrize(
    ("faults", "code"),
    [
        (Faults(refusal=Refusal(403)), ExitCode.REFUSED_BY_POLICY),
        (Faults(withhold_rows=2), ExitCode.INCOMPLETE),
    ],
)
async def test_a_run_that_fails_writes_nothing_and_its_exit_code_says_why(
    volume: Path, faults: Faults, code: ExitCode
) -> None:
    async with running(chain(), faults) as where:
        ran = await job(volume, where.url)
    assert (ran.code, snapshots(volume)) == (code, [])
    assert ran.err.startswith("tracker: ")


async def test_an_unreachable_chain_and_a_volume_that_cannot_be_written_have_exit_codes_of_their_own(
    volume: Path, tmp_path: Path
) -> None:
    gone = await job(volume, "ws://127.0.0.1:9")
    async with running(chain()) as where:
        full = await job(volume, where.url, TRACKER_DIR=str(tmp_path / "elsewhere"))
    assert (gone.code, full.code) == (ExitCode.UNREACHABLE, ExitCode.STORAGE)
    assert "Read-only file system" in full.err
    assert not (tmp_path / "elsewhere").exists()


async def test_a_killed_run_leaves_no_half_snapshot_and_the_next_one_succeeds(volume: Path) -> None:
    async with running(chain(), Faults(delay_ms=50)) as where:
        process = await start(volume, where.url)
        await until(lambda: any(call["method"] == "state_queryStorageAt" for call in where.node.calls), seconds=60)
        process.kill()
        await process.communicate()
        where.node.faults.delay_ms = 0
        again = await job(volume, where.url)
    assert again.code == ExitCode.OK
    taken, broken = files.read_all(volume / "snapshots")
    assert ([one.block for one in taken], broken) == ([5_009_997], [])


async def test_two_runs_at_once_over_postgresql_leave_one_snapshot_and_never_show_the_password(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    """Not sealed: the test's database listens on a socket in a folder of its own user."""
    volume = tmp_path
    postgres.create_database(tmp_path.name)
    dsn = postgres.dsn(tmp_path.name)
    wrong = "postgresql://nobody:s3cret-word@127.0.0.1:9/none"
    async with running(chain()) as where:
        both = await asyncio.gather(*(job(volume, where.url, is_sealed=False, TRACKER_STORE=dsn) for _ in range(2)))
        failed = await job(volume, where.url, is_sealed=False, TRACKER_STORE=wrong)
    assert [ran.code for ran in both] == [ExitCode.OK, ExitCode.OK], both[0].err + both[1].err
    async with open_engine(dsn) as engine:
        assert [block for _, block in await Store(engine).blocks()] == [5_009_997]
    assert len(snapshots(volume)) == 1
    assert failed.code == ExitCode.STORAGE
    assert "s3cret-word" not in failed.out + failed.err

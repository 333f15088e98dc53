"""What the backup CronJob runs, with a real PostgreSQL and a real SFTP server: what arrives, what goes, what stays."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import make_url

from infra.images.files import backup
from lab.services.postgres import EmbeddedPostgres
from tests.support.databases import database_url, template
from tests.support.local_postgres import server_of
from tests.support.specs import key_pair
from tests.support.sshd import LoopbackSshd

pytestmark = pytest.mark.service
__all__ = ["database_url", "template"]


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackSshd]:
    with LoopbackSshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@dataclass
class Job:
    """One CronJob's surroundings; `run` is one of its pods."""

    environment: dict[str, str]
    target: Path

    def run(self, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, backup.__file__], env={"PATH": "/usr/bin:/bin", **self.environment, **changes},
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    def names(self) -> list[str]:
        return sorted(path.name for path in self.target.iterdir())


@pytest.fixture
def job(postgres: EmbeddedPostgres, database_url: str, sshd: LoopbackSshd, tmp_path: Path) -> Job:
    spec, folder, scratch = sshd.spec(), tmp_path / "off the host", tmp_path / "scratch"
    scratch.mkdir()
    for name, text in {
        "key": key_pair("client")[0], "known_hosts": f"[127.0.0.1]:{sshd.port} {spec.host_key}\n", "password": "word\n"
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    environment = {
        "PGBIN": str(postgres.binaries), "DATABASE_HOST": str(postgres.folder), "DATABASE_PORT": "5432",
        "DATABASE_NAME": str(make_url(database_url).database), "DATABASE_USER": "postgres",
        "PASSWORD_FILE": str(tmp_path / "password"), "TARGET_HOST": "127.0.0.1", "TARGET_PORT": str(sshd.port),
        "TARGET_USER": spec.user, "TARGET_FOLDER": str(folder), "KEY_FILE": str(tmp_path / "key"),
        "KNOWN_HOSTS_FILE": str(tmp_path / "known_hosts"), "KEEP": "2", "SCRATCH": str(scratch),
    }  # fmt: skip
    return Job(environment, folder)


def test_a_dump_arrives_whole_and_the_oldest_go(job: Job, postgres: EmbeddedPostgres, database_url: str) -> None:
    job.target.mkdir()
    for name in ("postgres-20250101T000000Z.dump", "postgres-20250102T000000Z.dump", "notes.txt"):
        (job.target / name).write_text("old")
    (job.target / backup.PARTIAL).write_text("of a transfer that was cut off")
    done = job.run()
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["removed"] == ["postgres-20250101T000000Z.dump"]
    assert job.names() == ["notes.txt", "postgres-20250102T000000Z.dump", said["dump"]]
    arrived = job.target / said["dump"]
    assert arrived.stat().st_mode & 0o777 == 0o600
    server = server_of(postgres, database_url)
    assert server.rows_of(arrived.read_bytes()) == server.rows(server.database)


def test_a_first_run_makes_its_folder(job: Job) -> None:
    assert job.run().returncode == 0
    assert len(job.names()) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"DATABASE_NAME": "nowhere"}, "pg_dump failed"),
        ({"TARGET_PORT": "9"}, "sftp failed"),
        ({"TARGET_USER": "nobody-there"}, "sftp failed"),
    ],
)
def test_a_failed_run_takes_nothing_away_and_says_why(job: Job, changes: dict[str, str], said: str) -> None:
    job.target.mkdir()
    old = [f"postgres-2025010{day}T000000Z.dump" for day in range(1, 6)]
    for name in old:
        (job.target / name).write_text("old")
    done = job.run(**changes)
    assert done.returncode == 1
    assert said in done.stderr
    assert "no old dump was removed" in done.stderr
    assert job.names() == old


def test_another_host_key_ends_it(job: Job, tmp_path: Path, sshd: LoopbackSshd) -> None:
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{sshd.port} {key_pair('stranger')[1]}\n")
    done = job.run()
    assert done.returncode == 1
    assert "no old dump was removed" in done.stderr
    assert not job.target.exists()


def test_an_empty_database_takes_no_dump_away(job: Job, postgres: EmbeddedPostgres) -> None:
    postgres.create_database("empty")
    job.target.mkdir()
    for day in range(1, 6):
        (job.target / f"postgres-2025010{day}T000000Z.dump").write_text("old")
    done = job.run(DATABASE_NAME="empty")
    postgres.drop_database("empty")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tables"] == 0
    assert len(job.names()) == 6

"""The sealed file, what goes into it, and what the commands refuse. No database is asked."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.cli.app import app
from infra.cli.backup import command, contents
from infra.cli.backup.archive import ArchiveError, seal, unseal
from infra.cli.backup.contents import BackupError, collect, stack_of, unpack
from infra.cli.backup.control_host import database_of, in_pod, over_ssh, ssh_command
from infra.cli.backup.database import DatabaseError, Server, counted, drill
from infra.cli.engine import Engine
from infra.spec import HostRole
from tests.support.specs import host_spec, key_pair

RANDOM = bytes(range(28))
DUMP_SCRIPT = (
    b"SET x;\nCOPY public.servers (id, name) FROM stdin;\n1\ta\n2\tCOPY b FROM stdin;\n\\.\n"
    b"COPY public.none (id) FROM stdin;\n\\.\n"
)
CONTROL = host_spec(name="control", role=HostRole.CONTROL, user="admin", port=2222)


def test_what_was_sealed_opens_with_its_password_alone() -> None:
    files = {"state.json": b"{}", "postgres.dump": bytes(range(256)), "empty": b""}
    sealed = seal(files, "right", RANDOM)
    assert unseal(sealed, "right") == files
    for content, password in ((sealed, "wrong"), (sealed[:-1], "right")):
        with pytest.raises(ArchiveError, match="another one, or the file is damaged"):
            unseal(content, password)
    for cut in (sealed[:25], b"PK" + sealed):
        with pytest.raises(ArchiveError):
            unseal(cut, "right")


def test_rows_are_counted_in_the_dump_itself() -> None:
    assert counted(DUMP_SCRIPT) == {"public.servers": 2, "public.none": 0}


class Kept(Engine):
    """One stack with a state that holds encrypted secrets."""

    def quietly(self, *arguments: str, stdin: str = "") -> str:
        assert "--show-secrets" not in arguments
        return '{"deployment": {}}'

    def stack_name(self) -> str:
        return "organization/headframe/prod"


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    (tmp_path / "Pulumi.prod.yaml").write_text("encryptionsalt: v1:x\nconfig: {}\n")
    (tmp_path / "word").write_text("the passphrase")
    named = {
        "PULUMI_OPTION_CONFIG_FILE": tmp_path / "Pulumi.prod.yaml",
        "PULUMI_CONFIG_PASSPHRASE_FILE": tmp_path / "word",
    }
    return Kept(environment={key: str(value) for key, value in named.items()})


def test_a_backup_holds_what_opens_its_state(engine: Engine, tmp_path: Path) -> None:
    files = collect(engine, b"dump", datetime(2026, 1, 2, tzinfo=UTC))
    assert set(files) == {"manifest.json", "state.json", "stack.yaml", "passphrase", "postgres.dump"}
    assert files["passphrase"] == b"the passphrase"
    taken = "2026-01-02T00:00:00+00:00"
    assert json.loads(files["manifest.json"]) == {"stack": "organization/headframe/prod", "taken": taken}
    commands = unpack(files, tmp_path / "new")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()} == {0o600}
    assert any("pulumi stack import" in line for line in commands)
    assert any("stacks/Pulumi.prod.yaml" in line for line in commands)
    with pytest.raises(BackupError, match="is there already"):
        unpack(files, tmp_path / "new")


def test_a_state_that_nobody_could_open_is_no_backup(engine: Engine) -> None:
    file = {"PULUMI_OPTION_CONFIG_FILE": engine.environment["PULUMI_OPTION_CONFIG_FILE"]}
    with pytest.raises(BackupError, match="PULUMI_CONFIG_PASSPHRASE_FILE"):
        collect(Kept(environment=file), b"", datetime.now(UTC))
    empty = Kept(environment={**file, "PULUMI_CONFIG_PASSPHRASE": ""})
    assert collect(empty, b"", datetime.now(UTC))["passphrase"] == b""
    with pytest.raises(BackupError, match="which stack"):
        stack_of({})


def test_another_providers_stack_needs_no_passphrase(engine: Engine) -> None:
    Path(engine.environment["PULUMI_OPTION_CONFIG_FILE"]).write_text("secretsprovider: awskms://x\nconfig: {}\n")
    assert "passphrase" not in collect(engine, b"", datetime.now(UTC))


def test_no_secret_stands_in_the_arguments_of_ssh(tmp_path: Path) -> None:
    words = ssh_command(CONTROL, tmp_path)
    assert "admin@203.0.113.7" in words
    assert key_pair()[0].strip() not in " ".join(words)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "known_hosts").read_text() == f"* {key_pair()[1].strip()}\n"
    assert in_pod(["psql", "a b"], sudo=True) == (
        "sudo -n /usr/local/bin/k3s kubectl --kubeconfig /etc/rancher/k3s/k3s.yaml "
        "-n chutes exec -i postgres-0 -- psql 'a b'"
    )


def test_a_remote_failure_is_told_and_a_stack_without_control_host_too() -> None:
    assert over_ssh(["sh", "-c"], "cat", b"in") == b"in"
    with pytest.raises(DatabaseError, match="no space"):
        over_ssh(["sh", "-c"], "echo no space >&2; exit 1", b"")
    with pytest.raises(DatabaseError, match="ssh is not on PATH"):
        over_ssh(["/nowhere/ssh"], "x", b"")
    with pytest.raises(DatabaseError, match="no control host yet"), database_of([host_spec()]):
        pass


class Scripted:
    """A server's programs with canned answers; keeps what was run."""

    def __init__(self, rows: str = "public.servers|2\npublic.none|0\n") -> None:
        self.seen: list[tuple[str, bytes]] = []
        self.rows = rows

    def __call__(self, words: Sequence[str], stdin: bytes) -> bytes:
        self.seen.append((" ".join(words), stdin))
        if "--data-only" in words:
            return DUMP_SCRIPT
        if b"pg_tables" in stdin:
            return b"public.servers\npublic.none\n"
        return self.rows.encode() if b"count(*)" in stdin else b"the dump"


def test_a_drill_leaves_nothing_behind_also_where_it_fails() -> None:
    good = Scripted()
    assert str(drill(Server(good, clock=iter([0.0, 2.0]).__next__), b"dump", "drill_1")) == (
        "restored 2 tables with 2 rows from 4 bytes in 2.0 s"
    )
    bad = Scripted(rows="public.servers|1\npublic.none|0\n")
    with pytest.raises(DatabaseError, match=r"public\.servers 2 -> 1"):
        drill(Server(bad), b"dump", "drill_1")
    for server in (good, bad):
        assert any(b'DROP DATABASE IF EXISTS "drill_1"' in stdin for _, stdin in server.seen)


def test_the_commands_take_try_and_use_a_backup(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server(Scripted())

    @contextmanager
    def found(machines: object) -> Iterator[Server]:
        yield server

    def run(*words: str) -> int:
        return int(app(["backup", *words], exit_on_error=False, result_action="return_value"))

    monkeypatch.setattr(command, "Engine", lambda stack=None: engine)
    monkeypatch.setattr(command, "machines_of", lambda engine: ())
    monkeypatch.setattr(command, "database_of", found)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    file = tmp_path / "backup"
    assert run(str(file)) == 1
    assert "HEADFRAME_BACKUP_PASSWORD_FILE" in capsys.readouterr().err
    (tmp_path / "password").write_text("short")
    monkeypatch.setenv("HEADFRAME_BACKUP_PASSWORD_FILE", str(tmp_path / "password"))
    assert run(str(file)) == 1
    assert "at least 12" in capsys.readouterr().err
    (tmp_path / "password").write_text("long enough for this\n")
    assert run(str(file)) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"the passphrase" not in file.read_bytes()
    assert run(str(file)) == 1
    assert run("drill", str(file)) == 0
    assert "restored 2 tables" in capsys.readouterr().out
    assert run("restore", str(file), "--confirm", "dev") == 1
    assert "nothing was done" in capsys.readouterr().err
    assert run("restore", str(file), "--confirm", "prod") == 0
    assert run("unpack", str(file), "--into", str(tmp_path / "out")) == 0
    assert "pulumi stack import" in capsys.readouterr().out
    assert (tmp_path / "out" / contents.DUMP).read_bytes() == b"the dump"


def test_a_new_password_is_asked_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    right = "long enough for this"
    given_words = iter([right, "another one than this", right, right])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.delenv("HEADFRAME_BACKUP_PASSWORD_FILE", raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(given_words))
    with pytest.raises(BackupError, match="differ"):
        command._password(new=True)
    assert command._password(new=True) == right


@pytest.mark.parametrize(
    ("stack", "confirmed", "says"),
    [("dev", "prod", "the stack chosen is dev"), ("prod", "dev", "--confirm says dev"), ("dev", "dev", "is of prod")],
)
def test_no_backup_is_restored_into_another_stack(stack: str, confirmed: str, says: str) -> None:
    files = {contents.MANIFEST: b'{"stack": "organization/headframe/prod"}'}
    with pytest.raises(BackupError, match=says):
        contents.must_be_of(files, stack, confirmed)
    contents.must_be_of(files, "organization/headframe/prod", "prod")


def test_a_control_host_that_falls_silent_holds_nobody_for_long(tmp_path: Path) -> None:
    words = ssh_command(CONTROL, tmp_path)
    assert {"ServerAliveInterval=15", "ServerAliveCountMax=4"} <= set(words)

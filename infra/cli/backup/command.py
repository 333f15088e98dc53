"""`headframe backup FILE`, and `headframe backup drill | unpack | restore FILE`. Each prints what it did."""

from __future__ import annotations

import getpass
import os
import secrets
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter

from infra.cli.backup import contents
from infra.cli.backup.archive import RANDOM_BYTES, ArchiveError, seal, unseal
from infra.cli.backup.contents import BackupError
from infra.cli.backup.control_host import database_of
from infra.cli.backup.database import DatabaseError, drill
from infra.cli.engine import Engine, EngineError
from infra.cli.machines import machines_of

_VARIABLE: Final = "HEADFRAME_BACKUP_PASSWORD_FILE"
_LEAST_LENGTH: Final = 12
Stack = Annotated[str | None, Parameter(name=["--stack", "-s"], help="Stack; default: the selected one.")]

backup = App(name="backup", help="Take a backup of stack and database; try it; use it.")


@backup.default
def take(file: Path, *, stack: Stack = None) -> int:
    """Database, state, stack file and passphrase in one sealed file. Its password is asked for, or read from the file
    that HEADFRAME_BACKUP_PASSWORD_FILE names."""

    def act() -> str:
        engine = Engine(stack=stack)
        _must_be_new(file)
        password = _password(new=True)
        with database_of(machines_of(engine)) as server:
            dump = server.dump()
        files = contents.collect(engine, dump, datetime.now(UTC))
        _write(file, seal(files, password, secrets.token_bytes(RANDOM_BYTES)))
        return f"{file}: {', '.join(sorted(files))}. Try it: headframe backup drill {file}"

    return _said(act)


@backup.command(name="drill")
def practise(file: Path, *, stack: Stack = None) -> int:
    """Restore the backup's database beside the real one, compare, drop it, and say how long it took."""

    def act() -> str:
        dump = _opened(file)[contents.DUMP]
        with database_of(machines_of(Engine(stack=stack))) as server:
            return str(drill(server, dump, f"drill_{secrets.token_hex(4)}"))

    return _said(act)


@backup.command
def unpack(file: Path, *, into: Path) -> int:
    """Write the backup's contents into a new folder, and say how a stack is made of them again."""

    def act() -> str:
        return "\n".join(["Then, in the clone:", *contents.unpack(_opened(file), into)])

    return _said(act)


@backup.command
def restore(file: Path, *, confirm: str, stack: Stack = None) -> int:
    """Put the backup's database in the place of the real one. `--confirm` repeats the stack's name."""

    def act() -> str:
        files, engine = _opened(file), Engine(stack=stack)
        contents.must_be_of(files, engine.stack_name(), confirm)
        with database_of(machines_of(engine)) as server:
            server.load(files[contents.DUMP], server.database, clean=True)
        return f"the database is that of {file}; restart its users: kubectl -n chutes rollout restart deployment"

    return _said(act)


def _said(act: Callable[[], str]) -> int:
    try:
        print(act())
    except (BackupError, ArchiveError, DatabaseError, EngineError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _opened(file: Path) -> dict[str, bytes]:
    return unseal(file.read_bytes(), _password(new=False))


def _password(*, new: bool) -> str:
    """From the file that the environment names, else asked for; twice for a new one."""
    named = os.environ.get(_VARIABLE)
    if named is None and not sys.stdin.isatty():
        raise BackupError(f"no terminal to ask for the password at: put it into a file and name that in {_VARIABLE}")
    password = Path(named).read_text().strip() if named else getpass.getpass("Password of the backup: ")
    if new and len(password) < _LEAST_LENGTH:
        raise BackupError(f"the password has {len(password)} characters; wanted at least {_LEAST_LENGTH}")
    if new and not named and getpass.getpass("Once more: ") != password:
        raise BackupError("the two passwords differ; nothing was written")
    return password


def _must_be_new(file: Path) -> None:
    if file.exists():
        raise BackupError(f"{file} is there already: name a new file")


def _write(file: Path, content: bytes) -> None:
    """Whole or not at all, and never over another backup."""
    _must_be_new(file)
    partial = file.with_name(f"{file.name}.partial")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    partial.write_bytes(content)
    partial.replace(file)

"""What a backup holds, collected from the engine and the database: state, stack file, passphrase, dump."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from infra.cli import stack_file
from infra.cli.engine import CLONE, OWN_PASSPHRASE, Engine, passphrase

STATE: Final = "state.json"
STACK_FILE: Final = "stack.yaml"
PASSPHRASE: Final = "passphrase"  # noqa: S105 a file's name
DUMP: Final = "postgres.dump"
MANIFEST: Final = "manifest.json"


class BackupError(RuntimeError):
    """There is no backup, or it cannot be used; the text says what to do."""


def collect(engine: Engine, dump: bytes, now: datetime) -> dict[str, bytes]:
    """Everything, by name in the archive. The state keeps its secrets encrypted; the passphrase lies beside it.

    Raises:
        BackupError: the state would be useless, because nobody could open its secrets.
        infra.cli.engine.EngineError: the state cannot be exported.
    """
    name = engine.stack_name()
    text = stack_file.read(stack_file.stack_file(CLONE, name, engine.environment))
    files = {
        MANIFEST: json.dumps({"stack": name, "taken": now.isoformat(timespec="seconds")}).encode(),
        STATE: engine.quietly("stack", "export").encode(),
        STACK_FILE: text.encode(),
        DUMP: dump,
    }
    if OWN_PASSPHRASE in text:
        files[PASSPHRASE] = _passphrase(engine.environment).encode()
    return files


def _passphrase(environment: Mapping[str, str]) -> str:
    if (found := passphrase(environment)) is None:
        raise BackupError(
            "a state without its passphrase opens nothing: set PULUMI_CONFIG_PASSPHRASE_FILE and try again"
        )
    return found


def stack_of(files: Mapping[str, bytes]) -> str:
    """Name of the stack that a backup is of.

    Raises:
        BackupError: it does not say.
    """
    try:
        return str(json.loads(files[MANIFEST])["stack"])
    except (KeyError, ValueError):
        raise BackupError("the backup does not say which stack it is of") from None


def must_be_of(files: Mapping[str, bytes], stack: str, confirmed: str) -> None:
    """Let a restore pass only into the stack that the backup is of, and that the operator named. Pure.

    Args:
        stack: the one whose database would be replaced.

    Raises:
        BackupError: they are not one; nothing was done.
    """
    backed_up, target = _short(stack_of(files)), _short(stack)
    if _short(confirmed) != backed_up:
        raise BackupError(f"--confirm says {confirmed}, the backup is of {backed_up}: nothing was done")
    if target != backed_up:
        raise BackupError(
            f"the backup is of {backed_up}, but the stack chosen is {target}: nothing was done. "
            f"Choose the stack with --stack {backed_up}"
        )


def _short(stack: str) -> str:
    """A stack's own name, without organization and project."""
    return stack.rsplit("/", 1)[-1]


def unpack(files: Mapping[str, bytes], folder: Path) -> list[str]:
    """Write the contents into a new folder that only its owner enters; answers the commands that go on from there.

    Raises:
        BackupError: the folder is there already.
    """
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise BackupError(f"{folder} is there already: name a new folder") from None
    for name, content in files.items():
        path = folder / Path(name).name
        path.touch(mode=0o600)
        path.write_bytes(content)
    stack = stack_of(files)
    export = [f"export PULUMI_CONFIG_PASSPHRASE_FILE={folder / PASSPHRASE}"] if PASSPHRASE in files else []
    return [
        *export,
        f"pulumi stack init {stack}",
        f"cp {folder / STACK_FILE} stacks/Pulumi.{_short(stack)}.yaml",
        f"pulumi stack import --file {folder / STATE}",
        "pulumi up",
        f"headframe backup restore BACKUP --confirm {stack}",
    ]

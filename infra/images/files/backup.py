"""What the backup CronJob runs: one dump of PostgreSQL, put on another machine over SFTP and read back whole.

Old dumps go only after the new one was read back and holds data: a failed or empty run takes nothing away. Uses the
standard library and the programs of the image alone; password and key stand in no argument.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

NAME = re.compile(r"postgres-\d{8}T\d{6}Z\.dump")
#: One name, so that what a cut-off transfer left is written over by the next and never fills the disk.
PARTIAL = "postgres.dump.partial"
DUMP_SECONDS = 3600
TRANSFER_SECONDS = 3600
CONNECT_SECONDS = 20


@dataclass(frozen=True)
class Target:
    """A folder on another machine, the key that enters it, and the one that it must show."""

    host: str
    port: int
    user: str
    folder: str
    key_file: Path
    known_hosts: Path

    def sftp(self, commands: Sequence[str]) -> str:
        """Run commands in order; the first that fails ends it (one that begins with `-` may fail).

        Raises:
            SystemExit: with what the program said.
        """
        command = [
            "sftp", "-q", "-b", "-", "-P", str(self.port), "-i", str(self.key_file), "-o", "IdentitiesOnly=yes",
            "-o", f"UserKnownHostsFile={self.known_hosts}", "-o", "StrictHostKeyChecking=yes",
            "-o", f"ConnectTimeout={CONNECT_SECONDS}", "-o", "ServerAliveInterval=15", f"{self.user}@{self.host}",
        ]  # fmt: skip
        return run(command, stdin="\n".join(commands) + "\n", seconds=TRANSFER_SECONDS)


def run(command: Sequence[str | Path], *, stdin: str = "", seconds: float = DUMP_SECONDS, **environment: str) -> str:
    """Standard output of a program that must succeed.

    Raises:
        SystemExit: it did not; the text says what it said.
    """
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=False, timeout=seconds,
            env={**os.environ, **environment},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise SystemExit(f"{command[0]} took more than {seconds:.0f} s; no old dump was removed") from None
    if done.returncode:
        raise SystemExit(f"{command[0]} failed; no old dump was removed: {done.stderr.strip()[-1000:]}")
    return done.stdout


def pass_file_line(environment: Mapping[str, str], password: str) -> str:
    """One line for libpq, with its two special characters escaped."""
    fields = [environment[f"DATABASE_{key}"] for key in ("HOST", "PORT", "NAME", "USER")]
    return ":".join(field.replace("\\", "\\\\").replace(":", "\\:") for field in [*fields, password]) + "\n"


def dump(binaries: Path, environment: Mapping[str, str], scratch: Path, name: str) -> Path:
    """A whole dump in PostgreSQL's own format, compressed."""
    secret = private(
        scratch / "pgpass", pass_file_line(environment, Path(environment["PASSWORD_FILE"]).read_text().strip())
    )
    path = scratch / name
    run(
        [binaries / "pg_dump", "-w", "-Fc", "--lock-wait-timeout=60s", "-h", environment["DATABASE_HOST"],
         "-p", environment["DATABASE_PORT"], "-U", environment["DATABASE_USER"], "-d", environment["DATABASE_NAME"],
         "-f", path],
        PGPASSFILE=str(secret),
    )  # fmt: skip
    return path


def tables_with_data(binaries: Path, path: Path) -> int:
    """How many tables' data a dump holds; reads its table of contents, which fails for a broken file."""
    return sum(" TABLE DATA " in line for line in run([binaries / "pg_restore", "--list", path]).splitlines())


def put(target: Target, path: Path, scratch: Path) -> None:
    """Put a file there under its name, readable by its owner alone; it has its name once it was read back equal.

    Raises:
        SystemExit: what came back is not what was sent.
    """
    there, back = f"{target.folder}/{path.name}", scratch / "back"
    partial = shlex.quote(f"{target.folder}/{PARTIAL}")
    target.sftp(
        [f"-mkdir {shlex.quote(target.folder)}", f"put {shlex.quote(str(path))} {partial}", f"chmod 600 {partial}",
         f"get {partial} {shlex.quote(str(back))}"]
    )  # fmt: skip
    if digest(back) != digest(path):
        raise SystemExit(f"{target.host} gave back other bytes than it got; no old dump was removed: look at its disk")
    back.unlink()
    target.sftp([f"rename {partial} {shlex.quote(there)}"])


def superfluous(listing: str, keep: int) -> list[str]:
    """The oldest dumps beyond `keep`, by name. Other files are nobody's business here."""
    names = sorted(name for line in listing.splitlines() if NAME.fullmatch(name := Path(line.strip()).name))
    return names[:-keep] if keep > 0 else []


def prune(target: Target, keep: int) -> list[str]:
    """Remove what is superfluous; answers the names."""
    old = superfluous(target.sftp([f"ls -1 {shlex.quote(target.folder)}"]), keep)
    if old:
        target.sftp([f"rm {shlex.quote(f'{target.folder}/{name}')}" for name in old])
    return old


def private(path: Path, text: str) -> Path:
    """A file that only its owner reads, from its first byte on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    return path


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    environment = os.environ
    os.umask(0o077)
    began = time.monotonic()
    scratch, binaries = Path(environment["SCRATCH"]), Path(environment["PGBIN"])
    key = private(scratch / "key", Path(environment["KEY_FILE"]).read_text().rstrip("\n") + "\n")
    target = Target(
        environment["TARGET_HOST"], int(environment["TARGET_PORT"]), environment["TARGET_USER"],
        environment["TARGET_FOLDER"], key, Path(environment["KNOWN_HOSTS_FILE"]),
    )  # fmt: skip
    path = dump(binaries, environment, scratch, time.strftime("postgres-%Y%m%dT%H%M%SZ.dump", time.gmtime()))
    tables = tables_with_data(binaries, path)
    put(target, path, scratch)
    removed = prune(target, int(environment["KEEP"])) if tables else []
    result = {
        "dump": path.name, "bytes": path.stat().st_size, "tables": tables, "removed": removed,
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
    json.dump(result, sys.stdout)
    print()


if __name__ == "__main__":
    main()

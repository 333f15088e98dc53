"""First process of the PostgreSQL container: data folder, role, database and password; then it becomes postgres.

Runs as an ordinary user. The password comes from a file and leaves this process only as a verifier (RFC 5803), so that
no argument, log or server ever sees it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

SOCKETS = "/run/postgresql"
SUPERUSER = "headframe"
START_SECONDS = 120
SCRAM_ITERATIONS = 4096
#: Local connections are the container's own user; all others prove a password.
ACCESS = f"local all {SUPERUSER} peer\nhost all all 0.0.0.0/0 scram-sha-256\nhost all all ::/0 scram-sha-256\n"


def server_arguments(environment: Mapping[str, str]) -> list[str]:
    """Settings of the running server; memory follows the container's limit."""
    memory_mib = int(environment.get("MEMORY_MIB", "512"))
    settings = {
        "listen_addresses": "*",
        "unix_socket_directories": SOCKETS,
        "password_encryption": "scram-sha-256",
        "shared_buffers": f"{max(32, memory_mib // 4)}MB",
        "effective_cache_size": f"{max(64, memory_mib // 2)}MB",
        "max_connections": environment.get("MAX_CONNECTIONS", "200"),
        "jit": "off",
        "log_timezone": "UTC",
    }
    return [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]


def verifier(password: str, salt: bytes, iterations: int = SCRAM_ITERATIONS) -> str:
    """The SCRAM-SHA-256 verifier that `ALTER ROLE ... PASSWORD` takes instead of a password."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt_text, stored_text, server_text = (base64.b64encode(value).decode() for value in (salt, stored, server))
    return f"SCRAM-SHA-256${iterations}:{salt_text}${stored_text}:{server_text}"


def statements(user: str, database: str, password_verifier: str, present: set[str]) -> list[str]:
    """What makes role and database as they shall be. Names are checked, the verifier needs no quoting."""
    for name in (user, database):
        if not name.isidentifier():
            raise SystemExit(f"{name!r} is no name for a role or database: use letters, digits and underscores")
    verb = "ALTER" if f"role {user}" in present else "CREATE"
    wanted = [f"{verb} ROLE \"{user}\" LOGIN PASSWORD '{password_verifier}';"]
    if f"database {database}" not in present:
        wanted.append(f'CREATE DATABASE "{database}" OWNER "{user}";')
    return wanted


def initialise(binaries: Path, data: Path) -> None:
    """Make the data folder, unless there is one.

    It gets its name once it is whole: initdb writes PG_VERSION first, so that a killed one would look like a server.
    Beside data of another version none is made: programs would find an empty database, and take it for the truth.

    Raises:
        SystemExit: there is data of another version.
    """
    if not (data / "PG_VERSION").exists():
        fresh = data.with_name(f"{data.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        if others := sorted(path.parent.name for path in data.parent.glob("*/PG_VERSION")):
            raise SystemExit(
                f"the data is of PostgreSQL {', '.join(others)}, this server is {data.name}: no empty database was "
                "made. Run the image of before, take a backup (headframe backup FILE), move the old folder, restore"
            )
        options = ["-U", SUPERUSER, "-E", "UTF8", "--data-checksums", "--no-instructions"]
        subprocess.run([binaries / "initdb", "-D", fresh, *options], check=True, stdout=sys.stderr)
        fresh.rename(data)
    # A kubelet may have opened the folder to its group; the server refuses that.
    data.chmod(0o700)
    (data / "pg_hba.conf").write_text(ACCESS)


def prepare(binaries: Path, data: Path, environment: Mapping[str, str]) -> None:
    """Set role, database and password on a server that only this container can reach."""
    password = Path(environment["PASSWORD_FILE"]).read_text().strip()
    control: list[str | Path] = [binaries / "pg_ctl", "-D", data, "-w", "-t", str(START_SECONDS), "-s"]
    options = f"-c listen_addresses='' -c unix_socket_directories={SOCKETS}"
    subprocess.run([*control, "-o", options, "start"], check=True, stdout=sys.stderr)
    try:
        known = _sql(
            binaries, "SELECT 'role ' || rolname FROM pg_roles UNION SELECT 'database ' || datname FROM pg_database;"
        )
        user, database = environment["DATABASE_USER"], environment["DATABASE_NAME"]
        wanted = statements(user, database, verifier(password, secrets.token_bytes(16)), set(known.splitlines()))
        _sql(binaries, "\n".join(wanted))
    finally:
        subprocess.run([*control, "-m", "fast", "stop"], check=True, stdout=sys.stderr)


def _sql(binaries: Path, text: str) -> str:
    """Run statements given on stdin; the answer's rows, one a line."""
    command: list[str | Path] = [
        binaries / "psql",
        "-h",
        SOCKETS,
        "-U",
        SUPERUSER,
        "-d",
        "postgres",
        "-XAtq",
        "-v",
        "ON_ERROR_STOP=1",
    ]
    return subprocess.run(command, input=text, text=True, check=True, stdout=subprocess.PIPE).stdout


def main() -> None:
    environment = os.environ
    binaries, data = Path(environment["PGBIN"]), Path(environment["PGDATA"])
    initialise(binaries, data)
    prepare(binaries, data, environment)
    server = str(binaries / "postgres")
    os.execv(server, [server, "-D", str(data), *server_arguments(environment)])


if __name__ == "__main__":
    main()

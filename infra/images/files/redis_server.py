"""First process of the Redis container: hands the server its configuration on stdin, then becomes it.

The password is in no argument, variable or file of the image. With `check` it asks the running server for a PONG.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

PORT = 6379
CHECK_SECONDS = 3


def configuration(password: str, memory_mib: int) -> str:
    """Settings of the server. The append-only file keeps what a restart must not lose.

    Args:
        memory_mib: of the container. A quarter stays for what is beside the data: with all of it for data the kernel
            would end the server before it refused a write, and again at every start.
    """
    if not password or any(character.isspace() or character == '"' for character in password):
        raise SystemExit("the password file is empty or holds white space or quotes: write one plain word")
    settings = {
        "bind": "* -::*",
        "port": str(PORT),
        "dir": "/data",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory": f"{memory_mib * 3 // 4}mb",
        "maxmemory-policy": "noeviction",
        "requirepass": password,
    }
    return "".join(f"{key} {value}\n" for key, value in settings.items())


def serve(environment: Mapping[str, str]) -> None:
    """Become the server, its configuration in a file that exists in memory only."""
    text = configuration(_password(environment), int(environment.get("MEMORY_MIB", "256")))
    memory = os.memfd_create("redis.conf", 0)
    os.write(memory, text.encode())
    os.lseek(memory, 0, os.SEEK_SET)
    os.dup2(memory, 0)
    os.close(memory)
    os.execvp("redis-server", ["redis-server", "-"])


def check(environment: Mapping[str, str], host: str = "127.0.0.1", port: int = PORT) -> None:
    """Ends with an error unless the server takes the password and answers."""
    with socket.create_connection((host, port), timeout=CHECK_SECONDS) as connection:
        connection.sendall(f"AUTH {_password(environment)}\r\nPING\r\n".encode())
        answer = b""
        while answer.count(b"\r\n") < 2 and (more := connection.recv(256)):
            answer += more
    if answer != b"+OK\r\n+PONG\r\n":
        raise SystemExit(f"not ready: {answer.decode(errors='replace').strip()}")


def _password(environment: Mapping[str, str]) -> str:
    return Path(environment["PASSWORD_FILE"]).read_text().strip()


if __name__ == "__main__":
    (check if sys.argv[1:] == ["check"] else serve)(os.environ)

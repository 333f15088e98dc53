"""Runs a program as a container would: another user, nothing writable but one folder and /dev/shm, settings by
environment alone. With mount namespaces, so that no image has to be built; needs root, and does less without it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

USER_ID: Final = 10001
#: Every mount becomes read-only, but the program's folder and the shared memory that every container has. The user may
#: read what root may, because a checkout can lie under a private home; it may write and own nothing.
_SCRIPT: Final = """
set -e
mount --bind "$1" "$1"
cut -d' ' -f5 /proc/self/mountinfo | while read -r place; do
  case "$place" in "$1"|/dev/shm) ;; *) mount -o remount,bind,ro "$place" 2>/dev/null || true ;; esac
done
shift
if touch /etc/.writable 2>/dev/null; then echo "the root is writable" >&2; exit 99; fi
exec setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --bounding-set=-all,+dac_read_search \
  --inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search "$@"
"""


def is_confinable() -> bool:
    """Whether this machine lets us."""
    return os.geteuid() == 0 and shutil.which("unshare") is not None


def confined(module: str, folder: Path) -> list[str]:
    """The command that runs a module; `folder` is what it may write."""
    program = [sys.executable, "-m", module]
    if not is_confinable():
        print(f"{module}: not root, so that the file system stays as it is")
        return program
    for path in (folder, *folder.rglob("*")):
        os.chown(path, USER_ID, USER_ID)
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", _SCRIPT, "sh", str(folder), *program]


@asynccontextmanager
async def confined_program(
    module: str, folder: Path, environment: Mapping[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A running program; it is told to end (SIGTERM) when the block ends, and must do so in time.

    Raises:
        AssertionError: it did not end by itself, or not as told.
    """
    values = {"PATH": os.environ["PATH"], "TMPDIR": str(folder), **environment}
    process = await asyncio.create_subprocess_exec(
        *confined(module, folder), env=values, cwd="/", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) in {0, -signal.SIGTERM}
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def run_confined(module: str, folder: Path, environment: Mapping[str, str]) -> tuple[int | None, str]:
    """Run a program to its end: exit code and output."""
    values = {"PATH": os.environ["PATH"], "TMPDIR": str(folder), **environment}
    process = await asyncio.create_subprocess_exec(
        *confined(module, folder), env=values, cwd="/", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode, output.decode(errors="replace")

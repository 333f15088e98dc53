"""What the builder does to the machine: run a program, lock, write whole files, say what goes on."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_STEP_SECONDS: Final = 1800
_NEEDED: Final = ("buildah", "mmdebstrap")
#: No suffix that a lock of one image has.
_CACHE_LOCK: Final = "building"


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where slow results are kept, outside the clone: `HEADFRAME_CACHE`, else `XDG_CACHE_HOME`/headframe, else
    `~/.cache/headframe`."""
    base = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(environment.get("HEADFRAME_CACHE") or f"{base}/headframe")


def require_tools() -> None:
    """Raises RuntimeError with the command that installs what is missing."""
    missing = [tool for tool in _NEEDED if shutil.which(tool) is None]
    if missing:
        raise RuntimeError(f"images are built with {' and '.join(missing)}: apt install {' '.join(missing)}")


def uv_program(cache: Path) -> Path:
    """The uv of this project, which `make venv` puts into the cache, else the machine's own.

    Raises:
        RuntimeError: there is neither.
    """
    ours = cache / "uv" / "bin" / "uv"
    found = str(ours) if ours.exists() else shutil.which("uv")
    if found is None:
        raise RuntimeError(f"Python layers are installed by uv, which is neither at {ours} nor on PATH: make venv")
    return Path(found)


def run(command: list[str], *, stdin: str | None = None, environment: Mapping[str, str]) -> str:
    """Standard output of a command; its messages go to stderr as they come.

    Raises:
        RuntimeError: with the end of what it said.
    """
    try:
        done = subprocess.run(
            command, input=stdin, text=True, capture_output=True, env={**os.environ, **environment},
            timeout=_STEP_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{' '.join(command[:8])} ... took more than {_STEP_SECONDS} s") from None
    if done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).splitlines()[-20:])
        raise RuntimeError(f"{' '.join(command[:8])} ... ended with {done.returncode}:\n{tail}")
    return done.stdout.strip()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file, also against other processes. Its time is when it was last taken."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def building(folder: Path) -> Iterator[None]:
    """Beside other builds, and beside nothing that takes out of the cache of images in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _CACHE_LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


@contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Whether nobody builds into the cache in `folder`; then nobody begins to until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _CACHE_LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def write_whole(path: Path, text: str) -> None:
    """Whole or not at all: a killed run leaves no half record."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text(text)
    partial.replace(path)


def sha256_of(path: Path) -> str:
    """Hash of a file of any size, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def say(text: str) -> None:
    """Progress, for people: the engine shows it line by line."""
    print(text, file=sys.stderr, flush=True)

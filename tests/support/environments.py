"""Virtual environments for versions that the lock file does not hold, kept in the cache by their exact requirements."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path


def cache_folder() -> Path:
    """Where slow things stay between runs, outside the clone."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path("~root").expanduser() / ".cache")
    return Path(os.environ.get("HEADFRAME_CACHE") or f"{base}/headframe")


def environment(name: str, requirements: tuple[str, ...]) -> Path:
    """The Python of an environment with these requirements, made on first use (10 to 60 s)."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256("\n".join((version, *requirements)).encode()).hexdigest()[:12]
    folder = cache_folder() / "environments" / f"{name}-{digest}"
    python = folder / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _install(folder, python, requirements)
            (folder / "complete").touch()
    return python


def _install(folder: Path, python: Path, requirements: tuple[str, ...]) -> None:
    uv = shutil.which("uv") or shutil.which(str(cache_folder() / "uv" / "bin" / "uv"))
    if uv is None:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
    else:
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
        command = [uv, "pip", "install", "--quiet", "--python", str(python), *requirements]
    subprocess.run(command, check=True)

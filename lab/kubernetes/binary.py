"""The lab's Kubernetes binary, built once from the Go module beside this file and cached."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
from pathlib import Path
from typing import Final

MODULE: Final = Path(__file__).parent / "k3s"
_BUILD_TIMEOUT_SECONDS: Final = 3600


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("HEADFRAME_CACHE") or f"{base}/headframe")


def kubernetes_binary() -> Path:
    """Path of the binary; a cold build takes about 9 minutes on two cores, a warm call nothing.

    Raises:
        RuntimeError: the build failed; the message holds its last lines.
    """
    digest = hashlib.sha256()
    for source in sorted(MODULE.iterdir()):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    target = _cache() / "kubernetes" / digest.hexdigest()[:16] / "k3s"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            _build(target)
    return target


def _build(target: Path) -> None:
    partial = target.with_suffix(".partial")
    command = ["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", str(partial), "."]
    environment = {**os.environ, "CGO_ENABLED": "0"}
    done = subprocess.run(
        command,
        cwd=MODULE,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_BUILD_TIMEOUT_SECONDS,
    )
    if done.returncode != 0:
        raise RuntimeError(f"go build in {MODULE} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    partial.rename(target)

"""A Go compiler: the one on PATH if it is new enough, else the pinned toolchain from the Go module proxy.

The proxy serves toolchains as modules (`golang.org/toolchain`), so a machine that reaches the proxy needs no package.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import Final

import httpx

from infra.images.tools import cache_folder
from lab.builds.cache import locked, sha256_of
from lab.builds.progress import Line

#: Oldest compiler that builds our modules: the `go` line of their go.mod files.
WANTED: Final = (1, 26)
_PINNED: Final = "1.26.8"
#: SHA-256 of the zip archives that the proxy serves for the pinned toolchain, by machine.
_ARCHIVES: Final = {
    "linux-amd64": "30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7",
    "linux-arm64": "02b36b6787b3ac767668f630e2998df45a3b1f9ffee08d1bf3ef6487cd658d99",
}
_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_TIMEOUT_SECONDS: Final = 600.0


def go_command() -> Path:
    """Path of a Go compiler that is new enough.

    Raises:
        RuntimeError: there is none and none can be had; the message says what was looked for.
    """
    found = shutil.which("go")
    if found and version_of(Path(found)) >= WANTED:
        return Path(found)
    return _downloaded()


def version_of(go: Path) -> tuple[int, ...]:
    """Version of a compiler as numbers; empty where it does not say."""
    done = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False, timeout=30)
    match = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", done.stdout.strip())
    return tuple(int(part) for part in match.groups(default="0")) if match else ()


def _downloaded() -> Path:
    machine = f"linux-{_MACHINES.get(platform.machine(), platform.machine())}"
    wanted = _ARCHIVES.get(machine)
    if platform.system() != "Linux" or wanted is None:
        raise RuntimeError(
            f"no Go {'.'.join(map(str, WANTED))} or newer on PATH, and none is pinned for {machine}: install one"
        )
    folder = cache_folder() / "go" / _PINNED
    with locked(folder.with_name(f"{_PINNED}.lock")):
        if not (folder / "bin" / "go").exists():
            _fetch(f"v0.0.1-go{_PINNED}.{machine}", wanted, folder)
    return folder / "bin" / "go"


def _proxy() -> str:
    """The module proxy that this machine is set up for: what an older Go here uses, else the environment's."""
    found = shutil.which("go")
    asked = subprocess.run([found, "env", "GOPROXY"], capture_output=True, text=True, check=False) if found else None
    configured = asked.stdout.strip() if asked and asked.returncode == 0 else os.environ.get("GOPROXY", "")
    proxy = next((one for one in re.split("[,|]", configured) if one.startswith("http")), None)
    if proxy is None:
        raise RuntimeError(
            f"no Go {'.'.join(map(str, WANTED))} or newer on PATH, and no module proxy is set up to fetch one from: "
            "install Go, or set GOPROXY"
        )
    return proxy.rstrip("/")


def _fetch(version: str, wanted: str, folder: Path) -> None:
    url = f"{_proxy()}/golang.org/toolchain/@v/{version}.zip"
    folder.parent.mkdir(parents=True, exist_ok=True)
    line = Line(f"downloading the Go toolchain {_PINNED}")
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        archive = Path(temporary) / "toolchain.zip"
        with (
            httpx.stream("GET", url, follow_redirects=True, timeout=_TIMEOUT_SECONDS) as answer,
            archive.open("wb") as out,
        ):
            answer.raise_for_status()
            for chunk in answer.iter_bytes():
                out.write(chunk)
                line.tick()
        if (seen := sha256_of(archive)) != wanted:
            raise RuntimeError(f"{url} has SHA-256 {seen}, wanted {wanted}: refused")
        with zipfile.ZipFile(archive) as content:
            content.extractall(temporary)
        root = Path(temporary) / f"golang.org/toolchain@{version}"
        for program in (*(root / "bin").iterdir(), *(p for p in (root / "pkg/tool").rglob("*") if p.is_file())):
            program.chmod(0o755)
        root.rename(folder)
    line.done()

"""Puts `pulumi`, `helm` and the plugins that the program needs into one folder of this clone's state.

For each program, in this order: one on PATH whose version fits, the official release, a build from its Go module; what
an earlier call got is used again. For each plugin: an official one that is installed, one that can be installed, else
the stand-in of this folder (docs/adr/0020).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from infra.images.tools import cache_folder
from lab.builds.cache import locked
from lab.builds.go import build, cached
from lab.engine.download import UnavailableError, downloaded
from lab.engine.releases import Release, helm, pulumi
from lab.state import state_folder

_LANGUAGE_HOST: Final = "pulumi-language-python"
#: Resource plugins of the program: package of the SDK, and the stand-in's module.
_PLUGINS: Final = {"command": "lab.engine.command", "kubernetes": "lab.engine.kubernetes"}
_VERSION_TIMEOUT_SECONDS: Final = 20.0
_INSTALL_TIMEOUT_SECONDS: Final = 300.0
_OFFICIAL_HOME: Final = Path.home() / ".pulumi"


@dataclass(frozen=True)
class Toolchain:
    """What runs the program here.

    Args:
        folder: of the programs; goes first on PATH.
        home: PULUMI_HOME of this clone.
        origins: program or plugin -> where it comes from, in words for the user.
    """

    folder: Path
    home: Path
    origins: Mapping[str, str]

    @property
    def stand_ins(self) -> tuple[str, ...]:
        """Names of the plugins that are stand-ins."""
        return tuple(name for name, origin in self.origins.items() if origin.startswith("stand-in"))


def prepare(state: Path | None = None) -> Toolchain:
    """Find, download or build everything, one caller at a time; a warm call takes about a second.

    Raises:
        CommandFailedError: a build failed.
        RuntimeError: there is no Go compiler and none can be had.
    """
    root = (state or state_folder()) / "engine"
    folder, home = root / "bin", root / "home"
    (home / "plugins").mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(root / "prepare.lock"):
        return Toolchain(folder, home, _origins(folder, home))


def _origins(folder: Path, home: Path) -> dict[str, str]:
    """Put everything into its place; answers where each came from."""
    origins: dict[str, str] = {}
    for release in (pulumi(), helm()):
        program, origins[release.name] = _program(release, without=folder)
        _place(program, folder / release.name, linked=not origins[release.name].startswith("built"))
    origins[_LANGUAGE_HOST] = _language_host(folder)
    with ThreadPoolExecutor() as pool:  # each asks its publisher, and where nobody answers that takes ten seconds
        found = {name: pool.submit(_plugin, name, module, folder, home) for name, module in _PLUGINS.items()}
        return origins | {name: place.result() for name, place in found.items()}


def version_in(text: str) -> tuple[int, ...]:
    """The first version number in a program's answer; empty where there is none."""
    match = re.search(r"v?(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part) for part in match.groups(default="0")) if match else ()


def fits(version: tuple[int, ...], release: Release) -> bool:
    """Whether a version found on PATH will do."""
    return release.oldest <= version < release.newest


def _program(release: Release, without: Path) -> tuple[Path, str]:
    path = os.pathsep.join(p for p in os.environ.get("PATH", "").split(os.pathsep) if Path(p) != without)
    found = shutil.which(release.name, path=path)
    if found and fits(_version(Path(found)), release) and _is_complete(release, Path(found), path):
        return Path(found).resolve(), f"found: {found}"
    if built := cached(release.module):
        return built, f"built from the Go module, {release.version}"
    try:
        return downloaded(release, cache_folder()), f"official release {release.version}"
    except UnavailableError as error:
        print(f"  {release.name}: no official release here ({error})", file=sys.stderr)
    return build(release.module), f"built from the Go module, {release.version}"


def _is_complete(release: Release, found: Path, path: str) -> bool:
    """A `pulumi` without a Python language host beside it is of no use."""
    beside = found.resolve().with_name(_LANGUAGE_HOST)
    return release.name != "pulumi" or beside.exists() or shutil.which(_LANGUAGE_HOST, path=path) is not None


def _version(program: Path) -> tuple[int, ...]:
    try:
        done = subprocess.run(
            [program, "version"], capture_output=True, text=True, check=False, timeout=_VERSION_TIMEOUT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return version_in(done.stdout)


def _place(program: Path, target: Path, *, linked: bool) -> None:
    """Put a program into the folder.

    A symbolic link where its own plugins lie beside it; else a second name of the same file, because the engine looks
    for bundled plugins beside the file that it really is.
    """
    if target.exists() and target.samefile(program):
        return
    target.unlink(missing_ok=True)
    if linked:
        target.symlink_to(program)
        return
    try:
        target.hardlink_to(program)
    except OSError:  # the cache is on another file system
        shutil.copy2(program, target)


def _language_host(folder: Path) -> str:
    beside = (folder / "pulumi").resolve().with_name(_LANGUAGE_HOST)
    ours = folder / _LANGUAGE_HOST
    if beside != ours and beside.exists():
        ours.unlink(missing_ok=True)
        return f"official: {beside}"
    _launcher(ours, "lab.engine.language")
    return "stand-in"


def _plugin(name: str, module: str, folder: Path, home: Path) -> str:
    version = metadata.version(f"pulumi-{name}")
    plugin = f"resource-{name}-v{version}"
    place = home / "plugins" / plugin
    if _is_official(place):
        return f"official {version}"
    installed = _OFFICIAL_HOME / "plugins" / plugin
    if _is_official(installed):
        _remove(place)
        place.symlink_to(installed)
        return f"official {version}: {installed}"
    if not (place / "stand-in").exists():
        _remove(place)
        if _install(name, version, folder, home):
            return f"official {version}"
        place.mkdir(exist_ok=True)
        (place / "stand-in").touch()
    _launcher(place / f"pulumi-resource-{name}", module)
    return "stand-in"


def _is_official(place: Path) -> bool:
    return place.is_dir() and not (place / "stand-in").exists() and any(place.glob("pulumi-resource-*"))


def _remove(place: Path) -> None:
    if place.is_symlink():
        place.unlink()
    shutil.rmtree(place, ignore_errors=True)
    place.with_name(f"{place.name}.lock").unlink(missing_ok=True)


def _install(name: str, version: str, folder: Path, home: Path) -> bool:
    """Let the engine install the official plugin; False where its publisher cannot be reached."""
    try:
        done = subprocess.run(
            [folder / "pulumi", "plugin", "install", "resource", name, version, "--exact"],
            capture_output=True,
            check=False,
            env={**os.environ, "PULUMI_HOME": str(home), "PULUMI_SKIP_UPDATE_CHECK": "true"},
            timeout=_INSTALL_TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _launcher(target: Path, module: str) -> None:
    """Write a script that becomes the stand-in, so that the engine is its parent."""
    text = f'#!/bin/sh\n# Stand-in of the lab, see lab/engine.\nexec "{sys.executable}" -P -m {module} "$@"\n'
    if target.is_file() and target.read_text() == text:
        return
    partial = target.with_name(f".{target.name}.partial")
    partial.write_text(text)
    partial.chmod(0o755)
    partial.rename(target)

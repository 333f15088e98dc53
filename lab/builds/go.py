"""Builds a program from a Go module, once, into the cache: `build(GoModule(...)) -> Path`.

The key covers the module's files, the compiler and the flags, so that an edit, another compiler or another flag makes
another program and the old one stays valid for other clones.
"""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.images.tools import cache_folder
from lab.builds.cache import found, kept
from lab.builds.golang import go_command, version_of
from lab.builds.progress import run_with_progress

_BUILD_TIMEOUT_SECONDS: Final = 3600.0
_FLAGS: Final = ("-trimpath", "-buildvcs=false")
_KEY_CHARACTERS: Final = 16


@dataclass(frozen=True)
class GoModule:
    """A program that can be built from a folder with go.mod and go.sum.

    Args:
        folder: the module's folder; every file in it counts for the key.
        package: what to build, "." for the module itself, or an import path that the module requires.
        name: file name of the program.
        version: shown in progress and used as the name of the cache folder; the key does the identifying.
        linker_variables: Go variables set at link time, such as the version that the program prints.
    """

    folder: Path
    package: str
    name: str
    version: str
    linker_variables: tuple[tuple[str, str], ...] = ()

    @property
    def linker_flags(self) -> str:
        return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in self.linker_variables)])


def key_of(module: GoModule, compiler: str) -> str:
    """Identity of the program that `module` gives with this compiler; a pure function of content and flags."""
    digest = hashlib.sha256()
    parts = [compiler, platform.machine(), platform.system(), *_FLAGS, module.linker_flags, module.package, module.name]
    digest.update("\0".join(parts).encode())
    for source in sorted(p for p in module.folder.rglob("*") if p.is_file()):
        content = hashlib.sha256(source.read_bytes()).hexdigest()
        digest.update(f"\0{source.relative_to(module.folder)}\0{content}".encode())
    return digest.hexdigest()[:_KEY_CHARACTERS]


def build(module: GoModule) -> Path:
    """The verified program of `module`: from the cache, or built now with progress on stderr.

    Raises:
        CommandFailedError: the compiler refused; the message holds the end of its output.
        RuntimeError: there is no compiler.
    """
    go = go_command()
    return kept(_folder(go, module), module.name, lambda target: _compile(go, module, target))


def cached(module: GoModule) -> Path | None:
    """The verified program of `module` if an earlier call built it; never builds."""
    try:
        folder = _folder(go_command(), module)
    except RuntimeError:
        return None
    return found(folder / module.name)


def _folder(go: Path, module: GoModule) -> Path:
    compiler = ".".join(map(str, version_of(go)))
    return cache_folder() / "builds" / f"{module.name}-{module.version}-{key_of(module, compiler)}"


def _compile(go: Path, module: GoModule, target: Path) -> None:
    command = [str(go), "build", *_FLAGS, "-ldflags", module.linker_flags, "-o", str(target), module.package]
    # Written by the tools of the pinned module versions alone: no other Go, no edit of go.mod on the way.
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GOFLAGS": "-mod=readonly",
    }
    run_with_progress(
        f"building {module.name} {module.version}",
        command,
        folder=module.folder,
        environment=environment,
        timeout_seconds=_BUILD_TIMEOUT_SECONDS,
    )

"""Official releases: downloaded, compared with their published checksum and unpacked into the cache.

A machine that does not reach the publisher finds out within seconds: that is no error, the caller builds instead.
"""

from __future__ import annotations

import re
import tarfile
from pathlib import Path
from typing import Final

import httpx

from lab.builds.cache import locked, sha256_of
from lab.builds.progress import Line
from lab.engine.releases import Release

_TIMEOUT: Final = httpx.Timeout(60.0, connect=4.0)


class UnavailableError(RuntimeError):
    """The official release cannot be had here, or is not what its publisher says it is."""


def downloaded(release: Release, cache: Path) -> Path:
    """The program of an official release, unpacked with all that comes beside it.

    Raises:
        UnavailableError: with the reason, in words for the user.
    """
    folder = cache / "releases" / f"{release.name}-{release.version}"
    program = folder / release.member
    with locked(folder.with_name(f"{folder.name}.lock")):
        if not program.exists():
            try:
                _fetch(release, folder)
            except (httpx.HTTPError, tarfile.TarError, OSError) as error:
                raise UnavailableError(f"{release.archive}: {error or type(error).__name__}") from error
    return program


def checksum_in(text: str, file_name: str) -> str | None:
    """The SHA-256 of `file_name` in a checksum file; a file with one hash alone speaks of whatever lies beside it."""
    for line in text.splitlines():
        match = re.match(r"([0-9a-fA-F]{64})(?:\s+\*?(\S+))?\s*$", line)
        if match and match[2] in (None, file_name):
            return match[1].lower()
    return None


def _fetch(release: Release, folder: Path) -> None:
    line = Line(f"downloading {release.name} {release.version}")
    partial = folder.with_name(f"{folder.name}.partial")
    archive = folder.with_name(f"{folder.name}.tar.gz")
    with httpx.Client(follow_redirects=True, timeout=_TIMEOUT) as client:
        wanted = checksum_in(client.get(release.checksums).raise_for_status().text, release.archive.rsplit("/", 1)[1])
        if wanted is None:
            raise UnavailableError(f"{release.checksums} says nothing of {release.archive}")
        with client.stream("GET", release.archive) as answer, archive.open("wb") as out:
            answer.raise_for_status()
            for chunk in answer.iter_bytes():
                out.write(chunk)
                line.tick()
    try:
        if (seen := sha256_of(archive)) != wanted:
            raise UnavailableError(f"{release.archive} has SHA-256 {seen}, its publisher says {wanted}: refused")
        with tarfile.open(archive) as content:
            content.extractall(partial, filter="data")
        if not (partial / release.member).is_file():
            raise UnavailableError(f"{release.archive} holds no {release.member}")
        partial.rename(folder)
    finally:
        archive.unlink(missing_ok=True)
    line.done()

"""What an image is made of, and the hash of it. Reads files of the clone; runs nothing."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

#: Raise it when the builder itself makes other images from the same inputs.
BUILDER_VERSION: Final = 1
#: All our programs run as this user, in every image.
USER_ID: Final = 10001
TAG_LENGTH: Final = 32


@dataclass(frozen=True)
class CopiedFile:
    """A file of the clone, by its path there, and where it goes in the image."""

    source: str
    target: str
    mode: str = "0644"


@dataclass(frozen=True, kw_only=True)
class BaseRecipe:
    """The root file system under every image: a minimal Debian with Python."""

    suite: str
    packages: tuple[str, ...]
    #: Files that dpkg shall not unpack.
    excluded_paths: tuple[str, ...]
    #: Raise it to take in the security updates of the day.
    refreshed: str


@dataclass(frozen=True, kw_only=True)
class ImageRecipe:
    """One image on the base. Programs run as `USER_ID`, never as root."""

    name: str
    packages: tuple[str, ...] = ()
    #: Shell globs of files that a package brings and the image does not need.
    removed_paths: tuple[str, ...] = ()
    files: tuple[CopiedFile, ...] = ()
    directories: tuple[str, ...] = ()
    entrypoint: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)


def base_hash(base: BaseRecipe) -> str:
    """Name of a base: the hash of its recipe."""
    return _digest({"builder": BUILDER_VERSION, "base": asdict(base)})


def input_hash(recipe: ImageRecipe, base: BaseRecipe, clone: Path, *, base_digest: str | None = None) -> str:
    """Hash of everything that an image is made of, the same on every machine.

    Raises:
        FileNotFoundError: a file of the recipe is not in the clone.
    """
    contents = {item.source: hashlib.sha256((clone / item.source).read_bytes()).hexdigest() for item in recipe.files}
    return _digest(
        {
            "base": base_hash(base),
            "base_digest": base_digest,
            "recipe": asdict(recipe),
            "files": contents,
            "user": USER_ID,
        }
    )


def tag(recipe: ImageRecipe, base: BaseRecipe, clone: Path, *, base_digest: str | None = None) -> str:
    """The image's tag: `in-` and the first characters of its input hash."""
    return f"in-{input_hash(recipe, base, clone, base_digest=base_digest)[:TAG_LENGTH]}"


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

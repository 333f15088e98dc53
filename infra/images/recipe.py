"""What an image is made of, and the hash of it. Reads files of the clone; runs nothing."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from infra.images.distributions import Distribution, Environment, read_lock
from infra.images.modules import program_files

#: Raise it when the builder itself makes other images from the same inputs.
BUILDER_VERSION: Final = 2
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
    #: Version of the suite's Python, of which uv chooses wheels.
    python: str
    #: C library that the suite brings, as wheels name it.
    manylinux: str
    #: Files that dpkg shall not unpack.
    excluded_paths: tuple[str, ...]
    #: Raise it to take in the security updates of the day.
    refreshed: str

    @property
    def site(self) -> str:
        """Folder where the suite's Python looks for what no Debian package brought."""
        return f"/usr/local/lib/python{self.python}/dist-packages"


@dataclass(frozen=True, kw_only=True)
class PythonProgram:
    """Programs of ours in an image, and the extras of pyproject.toml that they stand on."""

    #: Packages that go in whole; what they import of ours follows by itself.
    packages: tuple[str, ...]
    #: One layer per extra, each holding what the ones before lack: images with the same beginning share layers.
    extras: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ImageRecipe:
    """One image on the base. Programs run as `USER_ID`, never as root."""

    name: str
    description: str
    program: PythonProgram | None = None
    packages: tuple[str, ...] = ()
    #: Shell globs of files that a package brings and the image does not need.
    removed_paths: tuple[str, ...] = ()
    files: tuple[CopiedFile, ...] = ()
    directories: tuple[str, ...] = ()
    entrypoint: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PythonInputs:
    """What a recipe's Python part comes to in one clone."""

    #: Paths of our files, relative to the clone and to the site folder alike.
    files: tuple[str, ...] = ()
    #: One entry per extra, in order: its name and what it adds to those before.
    layers: tuple[tuple[str, tuple[Distribution, ...]], ...] = ()


def python_inputs(recipe: ImageRecipe, base: BaseRecipe, clone: Path) -> PythonInputs:
    """Our files and the locked distributions of an image, empty for one without a program.

    Raises:
        FileNotFoundError: a package of the recipe is not in the clone.
        ValueError: an extra of the recipe is not in uv.lock.
    """
    if recipe.program is None:
        return PythonInputs()
    lock = read_lock(clone / "uv.lock")
    environment = Environment(python=base.python)
    layers, held = [], set[Distribution]()
    for extra in recipe.program.extras:
        added = [one for one in lock.closure(extra, environment) if one not in held]
        held.update(added)
        layers.append((extra, tuple(added)))
    return PythonInputs(files=program_files(clone, recipe.program.packages), layers=tuple(layers))


def base_hash(base: BaseRecipe) -> str:
    """Name of a base: the hash of its recipe."""
    return digest({"builder": BUILDER_VERSION, "base": asdict(base)})


def input_hash(recipe: ImageRecipe, base: BaseRecipe, clone: Path, *, base_digest: str | None = None) -> str:
    """Hash of everything that an image is made of, the same on every machine.

    Raises:
        FileNotFoundError: a file of the recipe is not in the clone.
        ValueError: an extra of the recipe is not in uv.lock.
    """
    inputs = python_inputs(recipe, base, clone)
    sources = [*(item.source for item in recipe.files), *inputs.files]
    contents = {source: hashlib.sha256((clone / source).read_bytes()).hexdigest() for source in sources}
    return digest(
        {
            "base": base_hash(base),
            "base_digest": base_digest,
            "recipe": asdict(recipe),
            "files": contents,
            "distributions": [[extra, [asdict(one) for one in added]] for extra, added in inputs.layers],
            "user": USER_ID,
        }
    )


def tag(recipe: ImageRecipe, base: BaseRecipe, clone: Path, *, base_digest: str | None = None) -> str:
    """The image's tag: `in-` and the first characters of its input hash."""
    return f"in-{input_hash(recipe, base, clone, base_digest=base_digest)[:TAG_LENGTH]}"


def digest(value: object) -> str:
    """Hash of plain data, the same whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

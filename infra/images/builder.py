"""Builds images into a cache folder outside the clone: base, shared layers, own files. Asked twice, it builds once.

Progress goes to stderr. No secret ever comes near it: what a build is given ends up in layers and logs.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from infra.images.base import Base, ensure_base, file_name, known_base
from infra.images.layers import COMPILE, Layers, steps
from infra.images.prune import PRUNED_SUFFIX, Kept, Pruned, prune
from infra.images.recipe import USER_ID, BaseRecipe, ImageRecipe, PythonInputs, input_hash, python_inputs, tag
from infra.images.sbom import DPKG_FORMAT, SBOM_PATH, bill, debian_packages, distributions_of
from infra.images.store import Container, Store
from infra.images.tools import alone, building, locked, require_tools, say, sha256_of, write_whole
from infra.spec.oci import INDEX_SUFFIX, read_image

_LABEL: Final = "org.opencontainers.image"


@dataclass(frozen=True)
class BuiltImage:
    """What a build answers, and what the stack exports of an image."""

    reference: str
    digest: str
    size_bytes: int
    archive: str
    archive_sha256: str
    base_digest: str
    #: Digest that the registry gives, where the image was pushed: it compresses layers in its own way.
    registry_digest: str | None = None


class Builder:
    """One cache folder, one Debian source."""

    def __init__(self, cache: Path, clone: Path, *, mirror: str | None = None, base_digest: str | None = None) -> None:
        self._folder = cache / "images"
        self._clone = clone
        self._mirror = mirror
        self._pinned = base_digest
        self._store = Store(self._folder)

    def build(self, recipe: ImageRecipe, base: BaseRecipe, reference: str) -> BuiltImage:
        """The image under `reference`, from the cache where it is there and whole.

        Raises:
            RuntimeError: a tool is missing, the base is not the pinned one, or a step failed.
        """
        archive = archive_path(self._folder.parent, reference)
        record = archive.with_suffix(".built")
        archive.parent.mkdir(parents=True, exist_ok=True)
        with building(self._folder), locked(archive.with_suffix(".lock")):
            if (known := _recorded(record, archive)) is not None:
                say(f"{reference}: in the cache")
                return known
            require_tools()
            started = time.monotonic()
            built = self._image(recipe, base, reference, archive)
            write_whole(record, json.dumps(asdict(built)))
            say(f"{reference}: built in {time.monotonic() - started:.0f} s, {built.size_bytes / 1e6:.0f} MB")
            return built

    def prune(self, recipes: Iterable[ImageRecipe], base: BaseRecipe, *, used_before: float) -> Pruned | None:
        """Take out of the cache what none of these recipes names and nobody asked for since; None where builds run.

        Raises:
            RuntimeError: buildah refused.
        """
        with alone(self._folder) as nobody_builds:
            if not nobody_builds or not (self._folder / "archives").is_dir():
                return None
            require_tools()
            return prune(self._folder, self.current(recipes, base), self._store, used_before=used_before)

    def current(self, recipes: Iterable[ImageRecipe], base: BaseRecipe) -> Kept:
        """What today's recipes name."""
        found, images, named = known_base(self._folder, base), set[str](), set[str]()
        for recipe in recipes:
            images.add(f"{recipe.name}-{tag(recipe, base, self._clone, base_digest=self._pinned)}")
            if found is not None:
                named |= set(steps(recipe, found, python_inputs(recipe, base, self._clone)))
        return Kept(frozenset(images), frozenset(named), frozenset({file_name(base)}))

    def push(self, built: BuiltImage) -> BuiltImage:
        """Push a built image to the registry of its reference.

        Raises:
            RuntimeError: the registry cannot be reached, or refuses this machine's login.
        """
        say(f"{built.reference}: pushing")
        return replace(built, registry_digest=self._store.push(read_image(Path(built.archive))))

    def _image(self, recipe: ImageRecipe, base: BaseRecipe, reference: str, archive: Path) -> BuiltImage:
        found = ensure_base(self._store, self._folder, base, mirror=self._mirror, pinned=self._pinned)
        inputs = python_inputs(recipe, base, self._clone)
        named = input_hash(recipe, base, self._clone, base_digest=self._pinned)
        below = self._below(recipe, base, found, inputs)
        with self._store.container(below) as container:
            files = self._own_files(container, recipe, base, inputs)
            packages = debian_packages(container.shell(f"dpkg-query --show --showformat='{DPKG_FORMAT}'"))
            distributions = distributions_of(inputs.layers)
            self._put(container, SBOM_PATH, bill(recipe.name, named, packages, distributions, files, suite=base.suite))
            container.configure(
                user=f"{USER_ID}:{USER_ID}",
                entrypoint=recipe.entrypoint,
                environment=recipe.environment,
                labels=_labels(recipe, found, named),
            )
            container.commit(reference)
        image = self._store.publish(reference, self._folder, archive)
        digest = image.manifest.digest
        return BuiltImage(reference, digest, image.size_bytes, str(archive), sha256_of(archive), found.digest)

    def _below(self, recipe: ImageRecipe, base: BaseRecipe, found: Base, inputs: PythonInputs) -> str:
        """The image under our own files: the base and every shared layer."""
        layers = Layers(self._store, self._folder, mirror=self._mirror)
        below = found.image
        for extra, added in inputs.layers:
            below = layers.python(below, base, extra, added) if added else below
        if recipe.packages or recipe.removed_paths or recipe.directories:
            below = layers.debian(below, found, recipe, base.suite)
        return below

    def _own_files(
        self, container: Container, recipe: ImageRecipe, base: BaseRecipe, inputs: PythonInputs
    ) -> dict[str, str]:
        """Copy files of the clone; answers their paths in the image and their hashes."""
        for item in recipe.files:
            container.copy(self._clone / item.source, item.target, mode=item.mode)
        placed = {item.target: self._clone / item.source for item in recipe.files}
        if inputs.files:
            with tempfile.TemporaryDirectory(dir=self._folder) as staging:
                for name in inputs.files:
                    target = Path(staging, "site", name)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(self._clone / name, target)
                    target.chmod(0o644)
                container.copy(Path(staging, "site"), base.site)
            tops = sorted({f"{base.site}/{name.partition('/')[0]}" for name in inputs.files})
            container.shell(f"{COMPILE} {' '.join(tops)}")
            placed |= {f"{base.site}/{name}": self._clone / name for name in inputs.files}
        return {target: sha256_of(source) for target, source in placed.items()}

    def _put(self, container: Container, path: str, text: str) -> None:
        with tempfile.TemporaryDirectory(dir=self._folder) as staging:
            source = Path(staging, "file")
            source.write_text(text)
            container.copy(source, path, mode="0644")


def _labels(recipe: ImageRecipe, base: Base, inputs: str) -> dict[str, str]:
    """Labels by the OCI's names. The revision is the input hash: a commit's would change what did not change."""
    return {
        f"{_LABEL}.title": recipe.name,
        f"{_LABEL}.description": recipe.description,
        f"{_LABEL}.revision": inputs,
        f"{_LABEL}.base.digest": base.digest,
        "headframe/base": base.digest,
        "headframe/sbom": SBOM_PATH,
    }


def archive_path(cache: Path, reference: str) -> Path:
    """Where the index of an image lies, its blobs beside that folder; known before it is built."""
    name, _, tag = reference.rsplit("/", 1)[-1].rpartition(":")
    return cache / "images" / "archives" / f"{name}-{tag}{INDEX_SUFFIX}"


def cache_identity(cache: Path) -> str:
    """A name of this cache folder's content: another one after it was emptied, so that its archives are made again."""
    path = cache / "images" / "identity"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, os.urandom(8).hex())
    return path.read_text()


def archive_identity(cache: Path, reference: str) -> str:
    """What a build of an image depends on beside its reference: another one after the image was taken out."""
    pruned = archive_path(cache, reference).with_suffix(PRUNED_SUFFIX)
    return f"{cache_identity(cache)}-{pruned.read_text()}" if pruned.exists() else cache_identity(cache)


def _recorded(record: Path, archive: Path) -> BuiltImage | None:
    if not (record.exists() and archive.exists()):
        return None
    try:
        read_image(archive)
    except (OSError, ValueError):
        return None
    return BuiltImage(**json.loads(record.read_text()))

"""Names that the provider makes up for objects whose program gives none. Pure: the randomness is the engine's seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from lab.engine.kubernetes.manifests import (
    AUTONAMED,
    Manifest,
    is_annotated,
    name_of,
    text,
    with_annotation,
    with_metadata,
)
from lab.engine.kubernetes.values import Unknown

_SUFFIX_DIGITS: Final = 8


class NameNeededError(Exception):
    """The manifest has no name and none can be made up."""


@dataclass(frozen=True)
class NameSource:
    """Where a made-up name comes from.

    Attributes:
        prefix: the resource's name in the program.
        seed: bytes that the engine keeps for the resource, so that preview and update agree; empty is random.
        proposed: a name that the engine's own autonaming wants; empty for none.
        is_disabled: the user switched autonaming off.
    """

    prefix: str
    seed: bytes
    proposed: str = ""
    is_disabled: bool = False

    def make(self) -> str:
        return self.proposed or unique_name(f"{self.prefix}-", self.seed)


def unique_name(prefix: str, seed: bytes) -> str:
    """`prefix` and eight hexadecimal digits, the same for the same seed and prefix."""
    source = random.Random(seed + prefix.encode()) if seed else random.SystemRandom()
    return prefix + "".join(source.choices("0123456789abcdef", k=_SUFFIX_DIGITS))


def is_named(manifest: Manifest) -> bool:
    """Whether the object has a name, known or not yet known."""
    metadata = manifest.get("metadata")
    if isinstance(metadata, Unknown):
        return True
    return bool(name_of(manifest)) or (isinstance(metadata, dict) and isinstance(metadata.get("name"), Unknown))


def is_autonamed(manifest: Manifest) -> bool:
    return is_annotated(manifest, AUTONAMED)


def named(new: Manifest, old: Manifest, source: NameSource) -> Manifest:
    """`new` with a name: its own, the one made up before, or a fresh one. Made-up names are annotated as such.

    Raises:
        NameNeededError: the name would have to be made up and must not be, or `generateName` is used.
    """
    if is_named(new):
        return new
    if text(new, "metadata", "generateName"):
        raise NameNeededError("generateName cannot be applied: give metadata.name, or neither for a made-up name")
    if old:
        return _autonamed(new, name_of(old)) if is_autonamed(old) else new
    if source.is_disabled:
        raise NameNeededError("autonaming is switched off and the object has no name: give metadata.name")
    return _autonamed(new, source.make())


def _autonamed(manifest: Manifest, name: str) -> Manifest:
    return with_annotation(with_metadata(manifest, name=name), AUTONAMED, "true")

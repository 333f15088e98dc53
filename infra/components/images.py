"""Our images: built on this machine when their inputs changed, named by the hash of those inputs (D9)."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pulumi
from pulumi_command import local

from infra.components.options import child
from infra.images.builder import archive_identity, archive_path
from infra.images.catalogue import BASE, IMAGES
from infra.images.names import images_built
from infra.images.recipe import ImageRecipe, tag
from infra.resources.host import ImageArchiveInput

#: The command provider runs in the program's folder. -P: that folder must not shadow our packages.
_PYTHON: Final = "../.venv/bin/python -P"
_BUILD_TIMEOUT: Final = "60m"


@dataclass(frozen=True, kw_only=True)
class ImagesArgs:
    """Where sources and caches are, and how images are named."""

    clone: Path
    cache: Path
    registry: str
    #: Whether images of labs are built too: monitoring from Debian, the SIMULATED chute.
    lab: bool = False
    #: Whether the stack declares monitoring.
    monitoring: bool = False
    #: Whether nodes pull the images from the registry, which then receives them when they are built.
    push: bool = False
    mirror: str | None = None
    base_digest: str | None = None


class ImageBuild(pulumi.ComponentResource):
    """One image. `reference` and `archive` are known in a preview; digest and sizes once it is built."""

    reference: str
    archive: str
    build: local.Command
    facts: pulumi.Output[dict[str, Any]]

    def __init__(
        self, name: str, recipe: ImageRecipe, args: ImagesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        version = tag(recipe, BASE, args.clone, base_digest=args.base_digest)
        self.reference = f"{args.registry}/{recipe.name}:{version}"
        self.archive = str(archive_path(args.cache, self.reference))
        # Not named like an attribute: the SDK would put an Output in its place.
        super().__init__("headframe:infra:ImageBuild", name, {"image": self.reference}, opts)
        options = {"--mirror": args.mirror, "--base-digest": args.base_digest}
        given = " ".join(f"{key} {shlex.quote(value)}" for key, value in options.items() if value is not None)
        given += " --push" if args.push else ""
        self.build = local.Command(
            name,
            create=f"{_PYTHON} -m infra.images build {recipe.name} {self.reference} {given}".strip(),
            triggers=[self.reference, archive_identity(args.cache, self.reference)],
            logging=local.Logging.STDERR,
            opts=child(self, timeout=_BUILD_TIMEOUT),
        )
        self.facts = self.build.stdout.apply(_facts)
        self.register_outputs({"image": self.reference, "built": self.facts})

    def archive_input(self) -> ImageArchiveInput:
        """The archive as a host takes it, once it is built."""
        return ImageArchiveInput(reference=self.reference, path=self.archive)


class Images(pulumi.ComponentResource):
    """Every image that the stack runs."""

    builds: Mapping[str, ImageBuild]
    packages: pulumi.Output[dict[str, Any]]

    def __init__(self, name: str, args: ImagesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("headframe:infra:Images", name, {"registry": args.registry}, opts)
        inside = pulumi.ResourceOptions(parent=self)
        names = images_built(lab=args.lab, monitoring=args.monitoring)
        self.builds = {key: ImageBuild(f"image-{key}", IMAGES[key], args, inside) for key in names}
        self.packages = pulumi.Output.all(**{key: build.facts for key, build in self.builds.items()})
        self.register_outputs({"packages": self.packages})


def _facts(stdout: str) -> dict[str, Any]:
    """What the build answered. The archive's path is this machine's own business and no output."""
    facts: dict[str, Any] = json.loads(stdout)
    facts.pop("archive", None)
    return facts

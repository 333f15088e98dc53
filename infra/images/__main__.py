"""`python -m infra.images build NAME REFERENCE`: one image; its facts as JSON on stdout."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from cyclopts import App

from infra.images.builder import Builder
from infra.images.catalogue import BASE, IMAGES
from infra.images.prune import DAY_SECONDS, DAYS
from infra.images.recipe import tag
from infra.images.tools import cache_folder

app = App(name="infra.images", help="Build the fleet's images.")


@app.command
def build(
    name: str, reference: str, *, mirror: str | None = None, base_digest: str | None = None, push: bool = False
) -> int:
    """Build one image under a full reference and print what came out; with --push, send it to its registry too."""
    builder = Builder(cache_folder(), Path(__file__).parents[2], mirror=mirror, base_digest=base_digest)
    try:
        built = builder.build(IMAGES[name], BASE, reference)
        built = builder.push(built) if push else built
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(asdict(built)))
    return 0


@app.command
def prune(*, days: float = DAYS) -> int:
    """Take out of the cache what no current recipe names and nobody asked for in so many days."""
    builder = Builder(cache_folder(), Path(__file__).parents[2])
    try:
        pruned = builder.prune(IMAGES.values(), BASE, used_before=time.time() - days * DAY_SECONDS)
    except (OSError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    print("images: nothing was looked at, something builds" if pruned is None else f"images: {pruned} taken out")
    return 0


@app.command(name="tag")
def show_tag(name: str, *, registry: str = "headframe.local") -> None:
    """Print an image's full reference: its tag is the hash of its inputs."""
    print(f"{registry}/{name}:{tag(IMAGES[name], BASE, Path(__file__).parents[2])}")


@app.command(name="list")
def list_images() -> None:
    """Names of all images."""
    print("\n".join(IMAGES))


if __name__ == "__main__":
    sys.exit(app())

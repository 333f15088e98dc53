"""The local store of images: a thin layer over buildah. All files get the time 0: the same files are the same bytes.

Images of steps stay here, named by the hash of what they hold; finished images leave as blobs.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.images.blobs import Blobs
from infra.images.tools import run
from infra.spec.oci import StoredImage, read_image, write_archive

#: buildah chooses its driver: overlay where it can be mounted. Digests do not depend on it (ADR 53).
_ENVIRONMENT: Final = {"BUILDAH_ISOLATION": "chroot"}
SCRATCH: Final = "scratch"


class Store:
    """One folder of images and working containers."""

    def __init__(self, folder: Path) -> None:
        self._options = ["--root", str(folder / "store"), "--runroot", str(folder / "run")]

    def buildah(self, *arguments: str) -> str:
        """Standard output of a buildah command on this store.

        Raises:
            RuntimeError: with the end of what it said.
        """
        return run(["buildah", *self._options, *arguments], environment=_ENVIRONMENT)

    def has(self, image: str) -> bool:
        """Whether an image of this name is here."""
        return self.buildah("images", "--quiet", "--filter", f"reference={image}") != ""

    def names(self) -> list[str]:
        """Names of all images of steps."""
        return [line for line in self.buildah("images", "--format", "{{.Name}}:{{.Tag}}").splitlines() if line]

    def remove(self, image: str) -> None:
        """Forget an image; layers that others stand on stay."""
        self.buildah("rmi", image)

    @contextmanager
    def container(self, image: str) -> Iterator[Container]:
        """A working container on `image`, gone afterwards."""
        name = self.buildah("from", "--pull-never", image)
        try:
            yield Container(self, name)
        finally:
            self.buildah("rm", name)

    def publish(self, image: str, folder: Path, index: Path) -> StoredImage:
        """Write the image's blobs and its index below `folder` and drop it from the store; its steps stay."""
        with tempfile.TemporaryDirectory(dir=folder) as written:
            # As they are: buildah would compress every layer of every image anew.
            options = ["--quiet", "--format", "oci", "--disable-compression"]
            self.buildah("push", *options, image, f"dir:{written}")
            Blobs(folder).publish(image, Path(written), index)
        self.buildah("rmi", image)
        return read_image(index)

    @contextmanager
    def loaded(self, image: StoredImage) -> Iterator[str]:
        """A published image, back in the store under the name that this answers, gone afterwards."""
        with tempfile.TemporaryDirectory(dir=image.folder) as folder:
            archive = Path(folder, "image.tar")
            write_archive(image, archive)
            loaded = self.buildah("pull", "--quiet", f"oci-archive:{archive}")
        try:
            yield loaded
        finally:
            self.buildah("rmi", loaded)

    def push(self, image: StoredImage) -> str:
        """Push a published image to the registry that its reference names; answers the digest it has there.

        The login is this machine's own (`buildah login`, `docker login`): none passes through here.
        """
        with self.loaded(image) as loaded, tempfile.TemporaryDirectory() as folder:
            answered = Path(folder, "digest")
            options = ["--quiet", "--format", "oci", "--digestfile", str(answered)]
            self.buildah("push", *options, loaded, f"docker://{image.reference}")
            return answered.read_text().strip()


@dataclass(frozen=True)
class Container:
    """A working container: files go in, commands run in it, it becomes an image."""

    store: Store
    name: str

    def unpack(self, tar: Path) -> None:
        """Put a tar's content over the root file system."""
        self.store.buildah("add", "--quiet", self.name, str(tar), "/")

    def copy(self, source: Path, target: str, *, mode: str | None = None) -> None:
        """Copy a file, or the content of a folder. Without `mode` files keep theirs; all belong to root."""
        chmod = ["--chmod", mode] if mode else []
        self.store.buildah("copy", "--quiet", *chmod, self.name, str(source), target)

    def shell(self, script: str, *, volumes: Mapping[Path, str] | None = None) -> str:
        """Run a script as root inside; answers its standard output."""
        mounts = [part for source, target in (volumes or {}).items() for part in ("--volume", f"{source}:{target}")]
        return self.store.buildah("run", "--isolation", "chroot", *mounts, self.name, "--", "sh", "-ec", script)

    def configure(
        self, *, user: str, entrypoint: tuple[str, ...], environment: Mapping[str, str], labels: Mapping[str, str]
    ) -> None:
        """What a container of the image starts, as whom."""
        options = ["--user", user, "--workingdir", "/", "--cmd", "", "--entrypoint", json.dumps(entrypoint)]
        options += [part for key, value in sorted(environment.items()) for part in ("--env", f"{key}={value}")]
        options += [part for key, value in sorted(labels.items()) for part in ("--label", f"{key}={value}")]
        self.store.buildah("config", *options, self.name)

    def commit(self, image: str) -> None:
        """Make an image of it: the layers of what it was made from, and one of its own."""
        self.store.buildah("commit", "--quiet", "--timestamp", "0", self.name, image)

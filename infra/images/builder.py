"""Builds images with mmdebstrap and buildah into a cache folder outside the clone. Asked twice, it builds once.

Progress goes to stderr. No secret ever comes near it: what a build is given ends up in layers and logs.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from infra.images.recipe import USER_ID, BaseRecipe, ImageRecipe, base_hash
from infra.images.sources import sources_list
from infra.images.tools import locked, require_tools, run, say, sha256_of, write_whole

_CLEAN: Final = (
    "rm -rf /var/log/* /var/cache/* /var/lib/apt/lists/* /tmp/* /var/tmp/* /etc/machine-id; "
    "find / -xdev -name __pycache__ -prune -exec rm -rf {} +; mkdir -p /var/log/apt"
)


@dataclass(frozen=True)
class BuiltImage:
    """What a build answers, and what the stack exports of an image."""

    reference: str
    digest: str
    size_bytes: int
    archive: str
    archive_sha256: str
    base_digest: str


class Builder:
    """One cache folder, one Debian source."""

    def __init__(self, cache: Path, clone: Path, *, mirror: str | None = None, base_digest: str | None = None) -> None:
        self._folder = cache / "images"
        self._clone = clone
        self._mirror = mirror
        self._pinned = base_digest
        self._store = ["--root", str(self._folder / "store"), "--runroot", str(self._folder / "run")]

    def build(self, recipe: ImageRecipe, base: BaseRecipe, reference: str) -> BuiltImage:
        """The image under `reference`, from the cache where it is there and whole.

        Raises:
            RuntimeError: a tool is missing, the base is not the pinned one, or a step failed.
        """
        archive = archive_path(self._folder.parent, reference)
        record = archive.with_suffix(".json")
        archive.parent.mkdir(parents=True, exist_ok=True)
        with locked(archive.with_suffix(".lock")):
            if (known := _recorded(record, archive)) is not None:
                say(f"{reference}: in the cache")
                return known
            require_tools()
            started = time.monotonic()
            base_digest, base_image = self._base(base)
            built = self._image(recipe, base, base_image, base_digest, reference, archive)
            write_whole(record, json.dumps(asdict(built)))
            say(f"{reference}: built in {time.monotonic() - started:.0f} s, {built.size_bytes / 1e6:.0f} MB")
            return built

    def _base(self, base: BaseRecipe) -> tuple[str, str]:
        """The base's content digest and its image, made once; refused where it is not the pinned content."""
        name = base_hash(base)[:32]
        tar, record = self._folder / f"base-{name}.tar", self._folder / f"base-{name}.sha256"
        with locked(self._folder / f"base-{name}.lock"):
            if not record.exists():
                self._debootstrap(base, tar)
                write_whole(record, f"sha256:{sha256_of(tar)}")
            digest = record.read_text()
            if self._pinned is not None and digest != self._pinned:
                raise RuntimeError(
                    f"the base image on this machine is {digest}, images.base_digest pins {self._pinned}: copy "
                    f"{tar.name} from the machine that made it, or pulumi config set --path images.base_digest {digest}"
                )
            image = f"localhost/base:{digest.removeprefix('sha256:')[:32]}"
            if self._buildah("images", "--quiet", "--filter", f"reference={image}") == "":
                container = self._buildah("from", "scratch")
                self._buildah("add", "--quiet", container, str(tar), "/")
                self._buildah("commit", "--quiet", "--timestamp", "0", "--rm", container, image)
        return digest, image

    def _debootstrap(self, base: BaseRecipe, tar: Path) -> None:
        say(f"base image: Debian {base.suite} with {', '.join(base.packages)}")
        sources = sources_list(base.suite, self._mirror)
        partial = tar.with_suffix(".partial.tar")
        user = f"headframe:x:{USER_ID}:{USER_ID}::/nonexistent:/usr/sbin/nologin"
        hooks = [
            f'--customize-hook=echo {user} >> "$1/etc/passwd"; echo headframe:x:{USER_ID}: >> "$1/etc/group"',
            '--customize-hook=rm -f "$1/etc/apt/sources.list"',
            '--customize-hook=rm -rf "$1"/var/log/* "$1"/var/cache/*; mkdir -p "$1/var/log/apt"',
        ]
        command = ["mmdebstrap", "--variant=minbase", f"--include={','.join(base.packages)}", *hooks]
        command += [f"--dpkgopt=path-exclude={path}" for path in base.excluded_paths]
        run([*command, base.suite, str(partial), "-"], stdin=sources, environment={"SOURCE_DATE_EPOCH": "0"})
        partial.replace(tar)

    def _image(
        self, recipe: ImageRecipe, base: BaseRecipe, base_image: str, base_digest: str, reference: str, archive: Path
    ) -> BuiltImage:
        container = self._buildah("from", base_image)
        partial = archive.with_suffix(".partial")
        try:
            self._install(container, recipe, base)
            for item in recipe.files:
                mode = ["--chmod", item.mode]
                self._buildah("copy", "--quiet", *mode, container, str(self._clone / item.source), item.target)
            self._configure(container, recipe, base_digest)
            self._buildah("commit", "--quiet", "--timestamp", "0", container, reference)
            partial.unlink(missing_ok=True)
            self._buildah("push", "--quiet", reference, f"docker-archive:{partial}:{reference}")
            digest = self._buildah("inspect", "--type", "image", "--format", "{{.FromImageDigest}}", reference)
        finally:
            self._buildah("rm", container)
        partial.replace(archive)
        return BuiltImage(reference, digest, archive.stat().st_size, str(archive), sha256_of(archive), base_digest)

    def _install(self, container: str, recipe: ImageRecipe, base: BaseRecipe) -> None:
        """Packages by the machine's own apt configuration, of which nothing stays in the image."""
        steps = ["set -eu", "echo 'exit 101' > /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d"]
        if recipe.packages:
            steps += [
                "export DEBIAN_FRONTEND=noninteractive",
                "mkdir -p /etc/postgresql-common",
                "echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf",
                "apt-get -qq update",
                f"apt-get -qq -y --no-install-recommends install {' '.join(recipe.packages)} >&2",
            ]
        steps += [f"rm -rf {path}" for path in recipe.removed_paths]
        for directory in recipe.directories:
            steps.append(f"mkdir -p {directory}; chown {USER_ID}:{USER_ID} {directory}; chmod 0770 {directory}")
        steps += ["rm -f /usr/sbin/policy-rc.d", _CLEAN]
        with tempfile.TemporaryDirectory() as folder:
            apt = Path(folder, "apt")
            shutil.copytree("/etc/apt", apt, symlinks=True) if Path("/etc/apt").is_dir() else apt.mkdir()
            for listed in (apt / "sources.list", apt / "sources.list.d"):
                shutil.rmtree(listed) if listed.is_dir() else listed.unlink(missing_ok=True)
            (apt / "sources.list").write_text(sources_list(base.suite, self._mirror))
            self._buildah(
                "run",
                "--isolation",
                "chroot",
                "--volume",
                f"{apt}:/etc/apt",
                container,
                "--",
                "sh",
                "-c",
                "\n".join(steps),
            )

    def _configure(self, container: str, recipe: ImageRecipe, base_digest: str) -> None:
        options = ["--user", f"{USER_ID}:{USER_ID}", "--workingdir", "/", "--cmd", ""]
        options += ["--entrypoint", json.dumps(recipe.entrypoint)]
        for key, value in sorted(recipe.environment.items()):
            options += ["--env", f"{key}={value}"]
        labels = {"org.opencontainers.image.title": recipe.name, "headframe/base": base_digest}
        for key, value in labels.items():
            options += ["--label", f"{key}={value}"]
        self._buildah("config", *options, container)

    def _buildah(self, *arguments: str) -> str:
        environment = {"STORAGE_DRIVER": os.environ.get("STORAGE_DRIVER", "vfs"), "BUILDAH_ISOLATION": "chroot"}
        return run(["buildah", *self._store, *arguments], environment=environment)


def archive_path(cache: Path, reference: str) -> Path:
    """Where the archive of an image lies; known before it is built."""
    name, _, tag = reference.rsplit("/", 1)[-1].rpartition(":")
    return cache / "images" / "archives" / f"{name}-{tag}.tar"


def cache_identity(cache: Path) -> str:
    """A name of this cache folder's content: another one after it was emptied, so that its archives are made again."""
    path = cache / "images" / "identity"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, os.urandom(8).hex())
    return path.read_text()


def _recorded(record: Path, archive: Path) -> BuiltImage | None:
    if not (record.exists() and archive.exists()):
        return None
    built = BuiltImage(**json.loads(record.read_text()))
    return built if archive.stat().st_size == built.size_bytes else None

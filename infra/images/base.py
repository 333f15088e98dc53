"""The base under every image: a minimal Debian with Python, made once by mmdebstrap and known by its content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.images.recipe import USER_ID, BaseRecipe, base_hash
from infra.images.sources import sources_list
from infra.images.store import SCRATCH, Store
from infra.images.tools import locked, run, say, sha256_of, write_whole

#: mmdebstrap's own hooks that merge /usr before the first package, as all Debian systems have it.
_MERGED_USR: Final = "/usr/share/mmdebstrap/hooks/merged-usr"
_USER: Final = f"headframe:x:{USER_ID}:{USER_ID}::/nonexistent:/usr/sbin/nologin"


@dataclass(frozen=True)
class Base:
    """A base that is in the store."""

    image: str
    #: `sha256:...` of its content, whatever it was made from.
    digest: str


def file_name(base: BaseRecipe) -> str:
    """Name of a base's files, without their suffix."""
    return f"base-{base_hash(base)[:32]}"


def step_of(digest: str) -> str:
    """Name of a base's image in the store."""
    return f"localhost/base:{digest.removeprefix('sha256:')[:32]}"


def known_base(folder: Path, base: BaseRecipe) -> Base | None:
    """The base as it was made here; None where it was not."""
    record = folder / f"{file_name(base)}.sha256"
    return Base(step_of(digest), digest) if record.exists() and (digest := record.read_text()) else None


def ensure_base(store: Store, folder: Path, base: BaseRecipe, *, mirror: str | None, pinned: str | None) -> Base:
    """The base in `store`; its archive lies in `folder`.

    Raises:
        RuntimeError: it is not the pinned content, or a step failed.
    """
    name = file_name(base)
    tar, record = folder / f"{name}.tar", folder / f"{name}.sha256"
    with locked(folder / f"{name}.lock"):
        if not record.exists():
            _debootstrap(base, tar, mirror)
            write_whole(record, f"sha256:{sha256_of(tar)}")
        digest = record.read_text()
        if pinned is not None and digest != pinned:
            raise RuntimeError(
                f"the base image on this machine is {digest}, images.base_digest pins {pinned}: copy "
                f"{tar.name} from the machine that made it, or pulumi config set --path images.base_digest {digest}"
            )
        image = step_of(digest)
        if not store.has(image):
            with store.container(SCRATCH) as container:
                container.unpack(tar)
                container.commit(image)
    return Base(image, digest)


def _debootstrap(base: BaseRecipe, tar: Path, mirror: str | None) -> None:
    say(f"base image: Debian {base.suite} with {', '.join(base.packages)}")
    partial = tar.with_suffix(".partial.tar")
    # Layers lose their files' times, by which Python would judge its compiled files: these are judged by nothing.
    compiled = f"-m compileall -q -f --invalidation-mode unchecked-hash /usr/lib/python{base.python}"
    hooks = [
        f'--customize-hook=echo {_USER} >> "$1/etc/passwd"; echo headframe:x:{USER_ID}: >> "$1/etc/group"',
        f'--customize-hook=chroot "$1" python3 {compiled}',
        '--customize-hook=rm -f "$1/etc/apt/sources.list"',
        '--customize-hook=rm -rf "$1"/var/log/* "$1"/var/cache/*; mkdir -p "$1/var/log/apt"',
    ]
    command = [
        "mmdebstrap",
        "--variant=minbase",
        f"--hook-dir={_MERGED_USR}",
        f"--include={','.join(base.packages)}",
        *hooks,
    ]
    command += [f"--dpkgopt=path-exclude={path}" for path in base.excluded_paths]
    environment = {"SOURCE_DATE_EPOCH": "0", "PYTHONHASHSEED": "0"}
    run([*command, base.suite, str(partial), "-"], stdin=sources_list(base.suite, mirror), environment=environment)
    partial.replace(tar)

"""Layers between the base and an image's own files: Debian packages, and Python distributions as uv.lock pins them.

A layer is made once and found again by the hash of what it holds, so nine images do not install NumPy nine times.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from infra.images.base import Base
from infra.images.distributions import MACHINE, Distribution, requirements
from infra.images.recipe import BUILDER_VERSION, USER_ID, BaseRecipe, ImageRecipe, PythonInputs, digest
from infra.images.sources import sources_list
from infra.images.store import Store
from infra.images.tools import locked, run, say, uv_program

_CLEAN: Final = (
    "rm -rf /var/log/* /var/cache/* /var/lib/apt/lists/* /tmp/* /var/tmp/* /etc/machine-id; "
    "find /usr/share /usr/lib/python3 -name __pycache__ -prune -exec rm -rf {} +; mkdir -p /var/log/apt"
)
#: Records of an installation, and commands that no image runs.
_RECORDS: Final = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json")
#: What compiled modules were made from, and what only type checkers read.
_SOURCES: Final = frozenset({".c", ".pxd", ".pyi", ".pyx"})
#: Not tests although their folder says so: NumPy's own testing module imports it.
_NEEDED_IN_TESTS: Final = "_natype.py"
COMPILE: Final = "PYTHONHASHSEED=0 python3 -m compileall -q -f --invalidation-mode unchecked-hash"


class Layers:
    """Makes layers in a store, or finds them there."""

    def __init__(self, store: Store, folder: Path, *, mirror: str | None) -> None:
        self._store, self._folder, self._mirror = store, folder, mirror

    def python(self, below: str, base: BaseRecipe, extra: str, added: Sequence[Distribution]) -> str:
        """An image that adds distributions to the image `below`."""
        image = python_step(below, extra, added)
        with locked(self._lock(image)):
            if not self._store.has(image):
                say(f"layer {extra}: {len(added)} Python distributions")
                with (
                    tempfile.TemporaryDirectory(dir=self._folder) as staging,
                    self._store.container(below) as container,
                ):
                    installed = Path(staging, "site")
                    self._install(base, added, Path(staging, "requirements.txt"), installed)
                    stripped(installed)
                    container.copy(installed, base.site)
                    container.shell(f"{COMPILE} {base.site} || true")
                    container.commit(image)
        return image

    def debian(self, below: str, base: Base, recipe: ImageRecipe, suite: str) -> str:
        """An image that adds the recipe's Debian packages and folders to the image `below`."""
        image = debian_step(below, base, recipe)
        with locked(self._lock(image)):
            if not self._store.has(image):
                say(f"layer {recipe.name}: Debian packages {', '.join(recipe.packages) or '(none)'}")
                with tempfile.TemporaryDirectory() as folder, self._store.container(below) as container:
                    apt = Path(folder, "apt")
                    _machine_apt(apt, sources_list(suite, self._mirror))
                    container.shell("\n".join(_steps(recipe)), volumes={apt: "/etc/apt"})
                    container.commit(image)
        return image

    def _install(self, base: BaseRecipe, added: Sequence[Distribution], listed: Path, target: Path) -> None:
        listed.write_text(requirements(added))
        command = [str(uv_program(self._folder.parent)), "pip", "install", "--quiet", "--no-config"]
        command += ["--no-deps", "--no-build", "--require-hashes", "--link-mode", "copy", "--target", str(target)]
        command += ["--python-version", base.python, "--python-platform", f"{MACHINE}-{base.manylinux}"]
        run([*command, "--requirements", str(listed)], environment={})

    def _lock(self, image: str) -> Path:
        return self._folder / f"{image.rpartition('/')[2].replace(':', '-')}.lock"


def python_step(below: str, extra: str, added: Sequence[Distribution]) -> str:
    """Name of the image that adds distributions to the image `below`."""
    key = {"below": below, "builder": BUILDER_VERSION, "python": [asdict(one) for one in added]}
    return f"localhost/layer-{extra}:{digest(key)[:32]}"


def debian_step(below: str, base: Base, recipe: ImageRecipe) -> str:
    """Name of the image that adds the recipe's Debian packages and folders to the image `below`."""
    parts = [base.digest, recipe.packages, recipe.removed_paths, recipe.directories, USER_ID]
    return (
        f"localhost/debian-{recipe.name}:{digest({'below': below, 'builder': BUILDER_VERSION, 'debian': parts})[:32]}"
    )


def steps(recipe: ImageRecipe, base: Base, inputs: PythonInputs) -> list[str]:
    """Names of all images that an image of this recipe stands on, the base first."""
    found = [base.image]
    for extra, added in inputs.layers:
        if added:
            found.append(python_step(found[-1], extra, added))
    if recipe.packages or recipe.removed_paths or recipe.directories:
        found.append(debian_step(found[-1], base, recipe))
    return found


def stripped(site: Path) -> None:
    """Take from installed distributions what no image needs: commands, tests, records of the installation."""
    for name in ("bin", ".lock"):
        path = site / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for information in site.glob("*.dist-info"):
        for record in _RECORDS:
            (information / record).unlink(missing_ok=True)
    for folder in [path for path in site.rglob("*") if path.name in {"tests", "__pycache__"}]:
        if folder.is_dir():
            _without_tests(folder)
    for path in site.rglob("*"):
        if path.suffix in _SOURCES and path.is_file():
            path.unlink()
        elif path.is_file() and not path.is_symlink():
            path.chmod(0o644)


def _without_tests(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name not in {_NEEDED_IN_TESTS, "__init__.py"}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if not (folder / _NEEDED_IN_TESTS).exists():
        shutil.rmtree(folder)


def _machine_apt(folder: Path, sources: str) -> None:
    """This machine's way to packages, for the time of the build; nothing of it stays in the image."""
    shutil.copytree("/etc/apt", folder, symlinks=True) if Path("/etc/apt").is_dir() else folder.mkdir()
    for listed in (folder / "sources.list", folder / "sources.list.d"):
        shutil.rmtree(listed) if listed.is_dir() else listed.unlink(missing_ok=True)
    (folder / "sources.list").write_text(sources)


def _steps(recipe: ImageRecipe) -> list[str]:
    steps = ["echo 'exit 101' > /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d"]
    if recipe.packages:
        steps += [
            "export DEBIAN_FRONTEND=noninteractive PYTHONDONTWRITEBYTECODE=1",
            "mkdir -p /etc/postgresql-common",
            "echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf",
            "apt-get -qq update >&2",
            f"apt-get -qq -y --no-install-recommends install {' '.join(recipe.packages)} >&2",
        ]
    steps += [f"rm -rf {path}" for path in recipe.removed_paths]
    for directory in recipe.directories:
        steps.append(f"mkdir -p {directory}; chown {USER_ID}:{USER_ID} {directory}; chmod 0770 {directory}")
    return [*steps, "rm -f /usr/sbin/policy-rc.d", _CLEAN]

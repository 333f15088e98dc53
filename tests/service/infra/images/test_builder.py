"""Images for real: built twice to one digest, refused on another base, holding nothing of this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.images.__main__ import cache_folder
from infra.images.builder import Builder, BuiltImage
from infra.images.catalogue import BASE, REDIS
from infra.images.recipe import USER_ID, base_hash
from tests.support.settings import CLONE

pytestmark = [pytest.mark.service, pytest.mark.timeout(900)]

REFERENCE = "headframe.local/redis:in-test"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of the test, with the base that this machine may have already: making it takes most of a minute."""
    if os.geteuid() != 0 or not all(shutil.which(tool) for tool in ("buildah", "mmdebstrap")):
        pytest.skip("images are built as root with buildah and mmdebstrap")
    folder = tmp_path_factory.mktemp("cache")
    (folder / "images").mkdir()
    for suffix in ("tar", "sha256"):
        have = cache_folder() / "images" / f"base-{base_hash(BASE)[:32]}.{suffix}"
        if have.exists():
            (folder / "images" / have.name).symlink_to(have)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def built(cache: Path) -> BuiltImage:
    return Builder(cache, CLONE).build(REDIS, BASE, REFERENCE)


def loaded(archive: tarfile.TarFile, name: str) -> Any:
    member = archive.extractfile(name)
    assert member is not None
    return json.load(member)


def test_a_second_build_of_the_same_inputs_gives_the_same_digest(cache: Path, built: BuiltImage) -> None:
    again = Builder(cache, CLONE).build(REDIS, BASE, f"{REFERENCE}-again")
    assert again.digest == built.digest
    assert again.digest.startswith("sha256:")
    assert again.reference != built.reference


def test_what_is_built_is_not_built_again(cache: Path, built: BuiltImage) -> None:
    before = Path(built.archive).stat().st_mtime_ns
    assert Builder(cache, CLONE).build(REDIS, BASE, REFERENCE) == built
    assert Path(built.archive).stat().st_mtime_ns == before


def test_another_base_than_the_pinned_one_is_refused(cache: Path, built: BuiltImage) -> None:
    pinned = Builder(cache, CLONE, base_digest="sha256:" + "0" * 64)
    with pytest.raises(RuntimeError, match=f"images.base_digest {built.base_digest}"):
        pinned.build(REDIS, BASE, f"{REFERENCE}-pinned")


def test_the_image_runs_as_an_ordinary_user_and_keeps_nothing_of_this_machine(built: BuiltImage) -> None:
    with tarfile.open(built.archive) as archive:
        (manifest,) = loaded(archive, "manifest.json")
        config = loaded(archive, manifest["Config"])["config"]
        names: set[str] = set()
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(layer)) as files:
                names |= set(files.getnames())
    assert manifest["RepoTags"] == [REFERENCE]
    assert config["User"] == f"{USER_ID}:{USER_ID}"
    assert config["Labels"]["headframe/base"] == built.base_digest
    assert {"usr/bin/redis-server", "opt/headframe/redis_server.py"} <= names
    assert not names & {"etc/apt/sources.list", "etc/machine-id", "usr/sbin/policy-rc.d", "var/log/dpkg.log"}
    assert not [name for name in names if name.startswith("etc/apt/auth.conf.d/")]


def test_the_command_prints_facts_as_json_and_errors_with_their_fix(cache: Path, built: BuiltImage) -> None:
    command = [sys.executable, "-P", "-m", "infra.images", "build", "redis"]

    def run(reference: str, path: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "HEADFRAME_CACHE": str(cache), "PATH": path}
        return subprocess.run(
            [*command, reference], capture_output=True, text=True, env=environment, check=False, timeout=120,
            cwd=CLONE / "infra",
        )  # fmt: skip

    done = run(REFERENCE, os.environ["PATH"])
    assert json.loads(done.stdout)["digest"] == built.digest
    assert "in the cache" in done.stderr
    failed = run(f"{REFERENCE}-x", str(Path(sys.executable).parent))
    assert failed.returncode == 1
    assert "apt install buildah mmdebstrap" in failed.stderr

"""Images for real: built twice to one digest, refused on another base, holding nothing of this machine."""

from __future__ import annotations

import hashlib
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

from infra.images.builder import Builder, BuiltImage
from infra.images.catalogue import BASE, REDIS
from infra.images.programs import CACHE_CLEANER
from infra.images.recipe import USER_ID, base_hash, input_hash, python_inputs
from infra.images.sbom import SBOM_PATH
from infra.images.store import Store
from infra.images.tools import cache_folder
from infra.spec.oci import read_image
from tests.support.registry import running_registry
from tests.support.settings import CLONE

pytestmark = [pytest.mark.service, pytest.mark.timeout(900)]

REFERENCE = "headframe.local/redis:in-test"
PROGRAM = "headframe.local/cache-cleaner:in-test"


def new_cache(folder: Path) -> Path:
    """A cache of the test, with what this machine may have already: the base takes most of a minute to make."""
    if os.geteuid() != 0 or not all(shutil.which(tool) for tool in ("buildah", "mmdebstrap")):
        pytest.skip("images are built as root with buildah and mmdebstrap")
    (folder / "images").mkdir()
    for suffix in ("tar", "sha256"):
        have = cache_folder() / "images" / f"base-{base_hash(BASE)[:32]}.{suffix}"
        if have.exists():
            (folder / "images" / have.name).symlink_to(have)
    if (cache_folder() / "uv").exists():
        (folder / "uv").symlink_to(cache_folder() / "uv")
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    yield new_cache(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def built(cache: Path) -> BuiltImage:
    return Builder(cache, CLONE).build(REDIS, BASE, REFERENCE)


@pytest.fixture(scope="module")
def program(cache: Path) -> BuiltImage:
    return Builder(cache, CLONE).build(CACHE_CLEANER, BASE, PROGRAM)


def config(built: BuiltImage) -> dict[str, Any]:
    """What an image says of itself."""
    image = read_image(Path(built.archive))
    told: dict[str, Any] = json.loads(image.path(image.config).read_text())["config"]
    return told


def members(built: BuiltImage, *, top: bool = False) -> dict[str, tarfile.TarInfo]:
    """Files in all layers of an image, or in the last one."""
    image = read_image(Path(built.archive))
    found: dict[str, tarfile.TarInfo] = {}
    for layer in image.layers[-1:] if top else image.layers:
        with tarfile.open(image.path(layer)) as files:
            found |= {member.name: member for member in files.getmembers()}
    return found


def test_a_second_build_of_the_same_inputs_gives_the_same_digest(cache: Path, built: BuiltImage) -> None:
    again = Builder(cache, CLONE).build(REDIS, BASE, f"{REFERENCE}-again")
    assert again.digest == built.digest
    assert again.digest.startswith("sha256:")
    assert again.reference != built.reference


def test_an_empty_cache_comes_to_the_same_layers_of_distributions_and_programs(
    tmp_path: Path, program: BuiltImage
) -> None:
    again = Builder(new_cache(tmp_path), CLONE).build(CACHE_CLEANER, BASE, PROGRAM)
    assert again.digest == program.digest
    shutil.rmtree(tmp_path / "images")


def test_what_is_built_is_not_built_again(cache: Path, built: BuiltImage) -> None:
    before = Path(built.archive).stat().st_mtime_ns
    assert Builder(cache, CLONE).build(REDIS, BASE, REFERENCE) == built
    assert Path(built.archive).stat().st_mtime_ns == before


def test_images_share_the_blobs_of_their_base(built: BuiltImage, program: BuiltImage) -> None:
    one, other = read_image(Path(built.archive)), read_image(Path(program.archive))
    assert one.layers[0] == other.layers[0]
    assert sum(layer.size_bytes for layer in other.layers[-1:]) < 2_000_000


def test_another_base_than_the_pinned_one_is_refused(cache: Path, built: BuiltImage) -> None:
    pinned = Builder(cache, CLONE, base_digest="sha256:" + "0" * 64)
    with pytest.raises(RuntimeError, match=f"images.base_digest {built.base_digest}"):
        pinned.build(REDIS, BASE, f"{REFERENCE}-pinned")


def test_the_image_runs_as_an_ordinary_user_and_keeps_nothing_of_this_machine(built: BuiltImage) -> None:
    names = set(members(built))
    assert config(built)["User"] == f"{USER_ID}:{USER_ID}"
    assert config(built)["Labels"]["headframe/base"] == built.base_digest
    assert {"usr/bin/redis-server", "opt/headframe/redis_server.py"} <= names
    assert not names & {"etc/apt/sources.list", "etc/machine-id", "usr/sbin/policy-rc.d", "var/log/dpkg.log"}
    assert not [name for name in names if name.startswith("etc/apt/auth.conf.d/")]


def test_a_program_starts_in_its_image_as_an_ordinary_user(cache: Path, program: BuiltImage) -> None:
    store = Store(cache / "images")
    with store.loaded(read_image(Path(program.archive))) as image, store.container(image) as container:
        said = container.shell("id -u; python3 -m agent.cache 2>&1 || true; touch /opt/x /usr/x /etc/x 2>&1 || true")
    user, message, *refused = said.splitlines()
    assert user == str(USER_ID)
    assert "/cache is no directory" in message
    assert len([line for line in refused if "Permission denied" in line]) == 3


def test_a_program_brings_its_own_files_and_neither_tests_nor_the_lab(program: BuiltImage) -> None:
    site = BASE.site.removeprefix("/")
    own = {name for name in members(program, top=True) if name.startswith(f"{site}/")}
    packages = {name.removeprefix(f"{site}/").partition("/")[0] for name in own}
    assert packages == {name.partition("/")[0] for name in python_inputs(CACHE_CLEANER, BASE, CLONE).files}
    assert f"{site}/agent/cache/__pycache__/scan.cpython-311.pyc" in own
    everything = members(program)
    assert not [name for name in everything if name.startswith(site) and {"tests", "lab"} & set(name.split("/"))]
    assert not [name for name in everything if name.endswith(("hotkey", ".env", "id_ed25519", "auth.json"))]
    assert {member.uid for name, member in everything.items() if name.startswith(site)} == {0}
    assert {member.mtime for member in everything.values()} == {0}


def test_an_image_says_what_it_is_made_of(program: BuiltImage) -> None:
    labels = config(program)["Labels"]
    assert labels["org.opencontainers.image.revision"] == input_hash(CACHE_CLEANER, BASE, CLONE)
    assert labels["headframe/sbom"] == SBOM_PATH
    image = read_image(Path(program.archive))
    with tarfile.open(image.path(image.layers[-1])) as files:
        member = files.extractfile(SBOM_PATH.removeprefix("/"))
        assert member is not None
        components = json.load(member)["components"]
    names = {component["name"] for component in components}
    assert {"libc6", "pydantic", f"{BASE.site}/agent/cache/scan.py"} <= names
    assert "numpy" not in names


def test_an_image_goes_to_the_registry_of_its_reference(
    cache: Path, built: BuiltImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_registry() as registry:
        settings = tmp_path / "registries.conf"
        settings.write_text(f'[[registry]]\nlocation = "{registry.authority}"\ninsecure = true\n')
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(settings))
        builder = Builder(cache, CLONE)
        pushed = builder.push(builder.build(REDIS, BASE, f"{registry.authority}/fleet/redis:in-pushed"))
        manifest = registry.manifests["/v2/fleet/redis/manifests/in-pushed"]
        blobs = set(registry.blobs)
    assert pushed.registry_digest == f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    described = json.loads(manifest)
    assert {described["config"]["digest"], *(layer["digest"] for layer in described["layers"])} == blobs


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

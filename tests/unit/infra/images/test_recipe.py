"""Tags: the hash of everything that an image is made of, and of nothing else."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from graval.cuda.build import LIBRARY, NEWEST_LIBC, BuildError, needed_libc, refuse_newer_libc
from graval.service.settings import BootstrapSettings
from infra.images.builder import archive_path, cache_identity
from infra.images.catalogue import BASE, IMAGES, POSTGRES
from infra.images.names import ImageName
from infra.images.recipe import tag
from infra.images.sources import parsed, sources_list
from policies.rules.kubernetes import KubernetesObject, image_digest
from tests.support.settings import CLONE


def test_a_tag_is_the_same_every_time_and_passes_the_rule_for_images() -> None:
    tags = {name: tag(recipe, BASE, CLONE) for name, recipe in IMAGES.items()}
    assert tags == {name: tag(recipe, BASE, CLONE) for name, recipe in IMAGES.items()}
    assert len(set(tags.values())) == len(IMAGES)
    for name, value in tags.items():
        pod = {"spec": {"containers": [{"image": f"headframe.local/{name}:{value}"}]}}
        seen = KubernetesObject(type="kubernetes:core/v1:Pod", name=name, properties=pod, provider="p")
        assert list(image_digest(seen)) == []


def test_every_input_changes_the_tag(tmp_path: Path) -> None:
    for item in POSTGRES.files:
        target = tmp_path / item.source
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((CLONE / item.source).read_bytes())
    same = tag(POSTGRES, BASE, tmp_path)
    assert same == tag(POSTGRES, BASE, CLONE)
    others = {
        tag(replace(POSTGRES, packages=("postgresql-16",)), BASE, tmp_path),
        tag(replace(POSTGRES, environment={}), BASE, tmp_path),
        tag(POSTGRES, replace(BASE, refreshed="another day"), tmp_path),
        tag(POSTGRES, BASE, tmp_path, base_digest="sha256:1"),
    }
    (tmp_path / POSTGRES.files[0].source).write_text("another program")
    others.add(tag(POSTGRES, BASE, tmp_path))
    assert len(others | {same}) == 6


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What images are made of, to be changed."""
    clone = tmp_path_factory.mktemp("clone")
    for folder in ("agent", "app", "graval", "tracker", "lab/chute", "infra/images"):
        shutil.copytree(CLONE / folder, clone / folder, ignore=shutil.ignore_patterns("__pycache__", LIBRARY.name))
    for file in ("uv.lock", "lab/__init__.py"):
        shutil.copy(CLONE / file, clone / file)
    return clone


@pytest.fixture(scope="module")
def before(copy: Path) -> dict[str, str]:
    return {name: tag(recipe, BASE, copy) for name, recipe in IMAGES.items()}


def changed(copy: Path, before: dict[str, str], file: str, text: str) -> set[str]:
    """Images whose tag is another one while `file` says `text`."""
    original = (copy / file).read_text()
    (copy / file).write_text(text)
    try:
        return {name for name, recipe in IMAGES.items() if tag(recipe, BASE, copy) != before[name]}
    finally:
        (copy / file).write_text(original)


@pytest.mark.parametrize(
    ("file", "images"),
    [
        ("agent/watch/session.py", {ImageName.AGENT}),
        ("agent/cleanup/decision.py", {ImageName.AGENT}),
        ("agent/cache/scan.py", {ImageName.CACHE_CLEANER}),
        ("app/api/servers.py", {ImageName.MINER_API}),
        ("app/gepetto/decision/valuation.py", {ImageName.GEPETTO}),
        ("app/observe/janitor.py", {ImageName.MONITOR}),
        ("app/audit/report.py", {ImageName.AUDIT}),
        ("app/cli/nodes.py", {ImageName.MINER_API}),
        ("graval/service/application.py", {ImageName.GRAVAL_BOOTSTRAP}),
        ("tracker/cost.py", {ImageName.TRACKER}),
        ("lab/chute/server.py", {ImageName.LAB_CHUTE}),
        ("infra/images/files/redis_server.py", {ImageName.REDIS}),
        ("infra/images/recipe.py", set()),
    ],
)
def test_one_changed_line_changes_the_images_that_hold_it_and_no_other(
    copy: Path, before: dict[str, str], file: str, images: set[ImageName]
) -> None:
    assert changed(copy, before, file, f"{(copy / file).read_text()}\n# one line more\n") == images


def test_the_cuda_library_goes_into_the_image_that_proves_gpus_once_it_was_built(
    copy: Path, before: dict[str, str]
) -> None:
    library = copy / LIBRARY.relative_to(CLONE)
    shutil.rmtree(library.parent, ignore_errors=True)
    without = {name: tag(recipe, BASE, copy) for name, recipe in IMAGES.items()}
    library.parent.mkdir()
    try:
        library.write_bytes(b"\x7fELF of one build")
        first = {name: tag(recipe, BASE, copy) for name, recipe in IMAGES.items()}
        library.write_bytes(b"\x7fELF of another build")
        second = {name: tag(recipe, BASE, copy) for name, recipe in IMAGES.items()}
    finally:
        shutil.rmtree(library.parent)
    image = ImageName.GRAVAL_BOOTSTRAP
    assert {name for name in before if first[name] != without[name]} == {image}
    assert len({without[image], first[image], second[image]}) == 3
    assert str(library.relative_to(copy)) in BootstrapSettings.model_fields["library"].default.as_posix()


def test_a_library_that_the_images_base_would_not_load_is_refused(tmp_path: Path) -> None:
    assert BASE.manylinux == "manylinux_{}_{}".format(*NEWEST_LIBC)
    library = tmp_path / "libogv.so"
    for newest, names in ((NEWEST_LIBC, b"GLIBC_2.2.5\0GLIBC_2.36\0"), ((2, 38), b"GLIBC_2.2.5\0GLIBC_2.38\0")):
        library.write_bytes(b"\x7fELF\0" + names + b"unrelated GLIBC_9.9")
        assert needed_libc(library) == newest
    with pytest.raises(BuildError, match=r"needs glibc 2\.38, the image has 2\.36: build it on Debian 12"):
        refuse_newer_libc(library)


def test_a_changed_pin_changes_the_images_that_install_it_and_no_other(copy: Path, before: dict[str, str]) -> None:
    def after(name: str) -> set[str]:
        pin = f'[[package]]\nname = "{name}"\nversion = "'
        text = (copy / "uv.lock").read_text()
        assert pin in text
        return changed(copy, before, "uv.lock", text.replace(pin, f"{pin}9"))

    assert after("loguru") == {ImageName.GEPETTO}
    assert after("aiosqlite") == {ImageName.TRACKER}
    assert after("hypothesis") == set()


def test_a_missing_file_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        tag(POSTGRES, BASE, Path("/nonexistent"))


def test_the_index_is_known_before_it_is_built() -> None:
    path = archive_path(Path("/cache"), "r.example.net:5000/miner/postgres:in-0")
    assert path == Path("/cache/images/archives/postgres-in-0.json")


def test_an_emptied_cache_gets_another_identity(tmp_path: Path) -> None:
    first = cache_identity(tmp_path)
    assert first == cache_identity(tmp_path)
    (tmp_path / "images" / "identity").unlink()
    assert cache_identity(tmp_path) != first


def test_only_archives_of_the_suite_are_used() -> None:
    listed = "http://m.example/debian/ bookworm main\nhttp://m.example/debian/ bookworm-updates main\n"
    foreign = "https://other.example/apt nodistro main\n"
    lines = parsed("bookworm", listed + foreign + listed).splitlines()
    assert len(lines) == 2
    assert all(re.fullmatch(r"deb \[signed-by=\S+\] http://m.example/debian bookworm\S* main", line) for line in lines)
    with pytest.raises(RuntimeError, match=r"images\.mirror"):
        parsed("bookworm", foreign)
    assert "https://m.example/debian bookworm main" in sources_list("bookworm", "https://m.example/debian/")

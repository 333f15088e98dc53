"""The cache of images loses what no current recipe names and nobody asked for in many days, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.images.base import file_name, known_base
from infra.images.builder import Builder, archive_identity, archive_path
from infra.images.catalogue import BASE, REDIS
from infra.images.prune import Kept, prune
from infra.images.recipe import tag
from infra.images.tools import alone, building, locked
from infra.spec.oci import read_image
from tests.unit.infra.images.test_blobs import publish

LONG_AGO, LIMIT, CLONE = 1_000.0, 2_000.0, Path(__file__).parents[4]
NOTHING = Kept(frozenset(), frozenset(), frozenset())


class Steps:
    """The store of steps, without buildah."""

    def __init__(self, *names: str) -> None:
        self.present = list(names)

    def names(self) -> list[str]:
        return list(self.present)

    def remove(self, image: str) -> None:
        self.present.remove(image)


def asked_long_ago(path: Path) -> None:
    os.utime(path, (LONG_AGO, LONG_AGO))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Images `old` and `new`, which share a layer; all files are old, and `new` was asked for just now."""
    for name in ("old", "new"):
        publish(tmp_path, name, (b"shared", name.encode()))
        with locked(tmp_path / "archives" / f"{name}.lock"):
            pass
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name != "new.lock":
            asked_long_ago(path)
    return tmp_path


def test_an_image_that_nobody_asked_for_goes_with_what_only_it_has(cache: Path) -> None:
    old, new = (read_image(cache / "archives" / f"{name}.json") for name in ("old", "new"))
    done = prune(cache, NOTHING, Steps(), used_before=LIMIT)
    assert (done.images, done.files) == (1, 2), "its manifest, and its own layer; configs are alike"
    assert not (cache / "archives" / "old.json").exists()
    assert read_image(cache / "archives" / "new.json") == new
    left = {path.name for path in (cache / "blobs" / "sha256").iterdir()}
    assert left == {blob.digest.removeprefix("sha256:") for blob in new.blobs}
    assert set(old.blobs) & set(new.blobs), "the shared layer stays"
    assert prune(cache, NOTHING, Steps(), used_before=LIMIT).files == 0


def test_what_a_current_recipe_names_stays_however_old(cache: Path) -> None:
    kept = Kept(frozenset({"old"}), frozenset(), frozenset())
    assert prune(cache, kept, Steps(), used_before=LIMIT).images == 0
    read_image(cache / "archives" / "old.json")


def test_layers_that_are_gone_are_compressed_anew(cache: Path) -> None:
    prune(cache, NOTHING, Steps(), used_before=LIMIT)
    again = publish(cache, "again", (b"shared", b"old"))
    assert len(again.layers) == 2


def test_steps_and_bases_go_by_name_and_age(cache: Path) -> None:
    names = ["localhost/layer-api:1", "localhost/layer-api:2", "localhost/debian-redis:3", "localhost/foreign:4"]
    for file in ("layer-api-1.lock", "layer-api-2.lock", "base-a.lock", "base-a.tar", "base-a.sha256", "base-b.lock"):
        (cache / file).write_text("x")
        asked_long_ago(cache / file)
    (cache / "debian-redis-3.lock").touch()
    store = Steps(*names)
    kept = Kept(frozenset(), frozenset({"localhost/layer-api:2"}), frozenset({"base-b"}))
    done = prune(cache, kept, store, used_before=LIMIT)
    assert store.present == names[1:], "current, asked for, without a lock of ours"
    assert done.steps == 1
    assert {path.name for path in cache.glob("base-*")} == {"base-b.lock"}


def test_an_image_that_was_taken_out_is_built_again_by_every_stack_that_names_it(tmp_path: Path) -> None:
    publish(tmp_path / "images", "redis-in-0", (b"a",))
    with locked(tmp_path / "images" / "archives" / "redis-in-0.lock"):
        pass
    reference, other = "headframe.local/redis:in-0", "headframe.local/redis:in-1"
    assert archive_path(tmp_path, reference).exists()
    before = archive_identity(tmp_path, reference)
    asked_long_ago(tmp_path / "images" / "archives" / "redis-in-0.lock")
    prune(tmp_path / "images", NOTHING, Steps(), used_before=LIMIT)
    after = archive_identity(tmp_path, reference)
    assert after != before == archive_identity(tmp_path, other)
    assert archive_identity(tmp_path, reference) == after, "once"


def test_nothing_is_taken_out_beside_a_build(tmp_path: Path) -> None:
    with building(tmp_path), building(tmp_path), alone(tmp_path) as nobody_builds:
        assert not nobody_builds
    with alone(tmp_path) as nobody_builds:
        assert nobody_builds


def test_current_are_the_tags_and_every_step_of_todays_recipes(tmp_path: Path) -> None:
    builder = Builder(tmp_path, CLONE)
    images = tmp_path / "images"
    images.mkdir()
    assert known_base(images, BASE) is None
    (images / f"{file_name(BASE)}.sha256").write_text("sha256:" + "a" * 64)
    kept = builder.current([REDIS], BASE)
    assert kept.images == {f"redis-{tag(REDIS, BASE, CLONE)}"}
    assert {name.rpartition(":")[0] for name in kept.steps} == {"localhost/base", "localhost/debian-redis"}
    assert kept.bases == {file_name(BASE)}

"""Tags: the hash of everything that an image is made of, and of nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from infra.images.builder import archive_path, cache_identity
from infra.images.catalogue import BASE, IMAGES, POSTGRES
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
        target.parent.mkdir(parents=True)
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


def test_a_missing_file_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        tag(POSTGRES, BASE, Path("/nonexistent"))


def test_the_archive_is_known_before_it_is_built() -> None:
    path = archive_path(Path("/cache"), "r.example.net:5000/miner/postgres:in-0")
    assert path == Path("/cache/images/archives/postgres-in-0.tar")


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

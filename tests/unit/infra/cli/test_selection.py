"""Parts of a stack by name: every pattern means something that the program declares."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import pytest

from infra.cli.app import run
from infra.cli.selection import PARTS, TAGS, UnknownPartError, arguments, targets
from tests.support.program_run import run_program
from tests.support.settings import fleet

#: Declared only where the stack owns the operator's file (D15), and where it names Grafana's image.
ELSEWHERE = {"::gepetto-code", "::grafana", "::grafana-*"}


def test_every_pattern_of_every_part_matches_a_resource_of_the_program(tmp_path: Path) -> None:
    urns = [f"::{item.type}::{item.name}" for item in run_program(fleet(), tmp_path, preview=True).resources]
    patterns = {pattern for part in PARTS.values() for pattern in part} - ELSEWHERE
    assert [pattern for pattern in sorted(patterns) if not any(fnmatch(urn, f"*{pattern}") for urn in urns)] == []


def test_tags_of_the_public_playbooks_mean_parts() -> None:
    assert {part for parts in TAGS.values() for part in parts} <= PARTS.keys()
    assert targets(["add-nodes"]) == ["**::*-registration"]


def test_parts_that_share_a_resource_name_it_once() -> None:
    found = targets(["api", "gepetto", "api"])
    assert len(found) == len(set(found))
    assert found[:3] == ["**::image-miner-api", "**headframe:index:Host::*", "**::api"]


def test_an_unknown_part_is_told_which_there_are() -> None:
    with pytest.raises(UnknownPartError, match="no part 'web'; there are: api, gepetto"):
        targets(["web"])
    assert run(["up", "--only", "web"]) == 2


def test_without_parts_it_is_a_whole_update() -> None:
    assert arguments([], preview=False, yes=True) == ["up", "--yes"]
    assert arguments(["redis"], preview=True, yes=True)[:3] == ["preview", "--target", "**::image-redis"]

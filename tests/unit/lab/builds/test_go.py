"""What identifies a built Go program."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from lab.builds.go import GoModule, key_of


@pytest.fixture
def module(tmp_path: Path) -> GoModule:
    (tmp_path / "go.mod").write_text("module example\n\ngo 1.26\n")
    (tmp_path / "main.go").write_text("package main\n\nfunc main() {}\n")
    return GoModule(tmp_path, ".", "example", "v1")


def test_the_same_module_has_the_same_key(module: GoModule) -> None:
    assert key_of(module, "1.26.8") == key_of(module, "1.26.8")


@pytest.mark.parametrize("name", ["go.mod", "main.go", "new.go"])
def test_every_file_counts(module: GoModule, name: str) -> None:
    before = key_of(module, "1.26.8")
    with (module.folder / name).open("a") as file:
        file.write("// changed\n")
    assert key_of(module, "1.26.8") != before


def test_compiler_and_flags_count(module: GoModule) -> None:
    stamped = dataclasses.replace(module, linker_variables=(("main.version", "v1"),))
    keys = {key_of(module, "1.26.8"), key_of(module, "1.27.0"), key_of(stamped, "1.26.8")}
    assert len(keys) == 3
    assert stamped.linker_flags == "-s -w -X main.version=v1"


def test_the_display_version_does_not_count(module: GoModule) -> None:
    assert key_of(dataclasses.replace(module, version="v2"), "1.26.8") == key_of(module, "1.26.8")

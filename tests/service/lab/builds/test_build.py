"""A real build of a small Go module."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lab.builds.go import GoModule, build
from lab.builds.progress import CommandFailedError

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(
        not shutil.which("go"), reason="no Go compiler on PATH; downloading one is not a test's business"
    ),
]

MAIN = 'package main\n\nvar version = "none"\n\nfunc main() { println(version) }\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADFRAME_CACHE", str(tmp_path / "cache"))
    source = tmp_path / "source"
    source.mkdir()
    (source / "go.mod").write_text("module example\n\ngo 1.26\n")
    (source / "main.go").write_text(MAIN)
    return source


def test_a_module_becomes_a_program_that_is_kept(folder: Path) -> None:
    module = GoModule(folder, ".", "example", "v1", linker_variables=(("main.version", "v1.2.3"),))
    program = build(module)
    assert subprocess.run([program], capture_output=True, text=True, check=True).stderr == "v1.2.3\n"
    made = program.stat().st_mtime_ns
    assert build(module) == program
    assert program.stat().st_mtime_ns == made
    assert os.access(program, os.X_OK)


def test_a_refused_build_says_what_the_compiler_said(folder: Path) -> None:
    (folder / "main.go").write_text("package main\n\nfunc main() { nonsense() }\n")
    with pytest.raises(CommandFailedError, match="undefined: nonsense"):
        build(GoModule(folder, ".", "example", "v1"))
    assert list((folder.parent / "cache" / "builds").glob("example-*/example")) == []

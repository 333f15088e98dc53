"""The real engine for tests of the command line and of the program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.engine.toolchain import Toolchain, prepare
from tests.support import thing_provider
from tests.support.engine import Project
from tests.support.preview_stack import Stack, local_fleet
from tests.support.settings import HOTKEY_SEED


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    """The lab's toolchain; cold, this builds the engine for minutes: `make toolchain` does it beforehand."""
    return prepare()


@pytest.fixture
def things(tmp_path: Path, toolchain: Toolchain) -> Iterator[Project]:
    """A project `tiny` with stack `dev` and a provider of one slow resource; whatever is left of it is ended."""
    project = Project(tmp_path / "project", toolchain)
    project.write("Pulumi.yaml", thing_provider.PROJECT)
    project.write("provider/PulumiPlugin.yaml", "runtime: python\n")
    project.write("provider/__main__.py", Path(thing_provider.__file__).read_text())
    project.write("__main__.py", "")
    project.run("stack", "init", "dev")
    yield project
    project.end_all()


@pytest.fixture
def new_stack(tmp_path: Path, toolchain: Toolchain) -> Stack:
    """A stack of this clone's program without settings."""
    return Stack.initialise(tmp_path, toolchain)


@pytest.fixture
def stack(new_stack: Stack) -> Stack:
    """The same with settings of a small fleet whose machines do not answer."""
    new_stack.write(local_fleet())
    new_stack.engine.quietly("config", "set", "--secret", "ssh_private_key", stdin="marker-no-key")
    new_stack.engine.quietly("config", "set", "--secret", "hotkey_seed", stdin=HOTKEY_SEED)
    return new_stack

"""The real engine for tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.engine.toolchain import Toolchain, prepare
from lab.kubernetes.apiserver import LocalApiServer
from tests.support.engine import Project


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    """The lab's toolchain; cold, this builds the engine for minutes: `make toolchain` does it beforehand."""
    return prepare()


@pytest.fixture
def project(tmp_path: Path, toolchain: Toolchain) -> Iterator[Project]:
    """An empty project with stack `dev`; whatever is left of it is ended."""
    project = Project(tmp_path / "project", toolchain)
    project.write("Pulumi.yaml", "name: tiny\nruntime: python\n")
    project.write("__main__.py", "")
    project.run("stack", "init", "dev")
    yield project
    project.end_all()


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalApiServer]:
    """A real API server without nodes."""
    with LocalApiServer(tmp_path_factory.mktemp("api-server")) as server:
        yield server


@pytest.fixture(scope="session")
def helm_program(toolchain: Toolchain) -> Path:
    return toolchain.folder / "helm"

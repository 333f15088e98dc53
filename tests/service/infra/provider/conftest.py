"""A provider process, a real sshd, and inputs of hosts that are reached over it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from infra.provider.wire import Properties, secret
from tests.support.provider import SmallEngine
from tests.support.sshd import LoopbackSshd


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackSshd]:
    with LoopbackSshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
async def engine() -> AsyncIterator[SmallEngine]:
    async with SmallEngine() as engine:
        yield engine


@pytest.fixture
def inputs(sshd: LoopbackSshd, tmp_path: Path) -> Callable[..., Properties]:
    """Inputs of a host with one file per keyword, below this test's folder."""

    def make(name: str = "gpu-0", *, changes: Properties | None = None, **files: str) -> Properties:
        wanted = [{"path": str(tmp_path / name / file), "content": text} for file, text in files.items()]
        spec = sshd.spec(name=name, on_delete="forget", base={"files": wanted})
        properties: Properties = json.loads(spec.to_json())
        return {**properties, "privateKey": secret(properties["privateKey"]), **(changes or {})}

    return make

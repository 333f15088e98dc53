"""An agent that watches a namespace of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lab.kubernetes.apiserver import LocalApiServer
from tests.support.agents import Cluster, RunningAgent, access_of, agent_settings, running_agent


@pytest.fixture
async def agent(api_server: LocalApiServer, cluster: Cluster, tmp_path: Path) -> AsyncIterator[RunningAgent]:
    async with running_agent(agent_settings(tmp_path, [cluster.namespace]), access_of(api_server)) as running:
        yield running

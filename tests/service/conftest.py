"""Fixtures of the service tier that more than one room uses."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lab.kubernetes.apiserver import LocalApiServer
from tests.support.agents import Cluster, own_cluster


@pytest.fixture
async def cluster(api_server: LocalApiServer) -> AsyncIterator[Cluster]:
    """A namespace of one's own on the real API server."""
    async with own_cluster(api_server) as made:
        yield made

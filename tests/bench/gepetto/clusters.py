"""Clusters of the benches as Gepetto reaches them; who serves them is `outside`."""

from __future__ import annotations

import httpx

from app.gepetto.kubernetes.client import ClusterClient


class LoopbackClusters:
    """Every server's cluster is a path of one HTTP server."""

    def __init__(self, base: str) -> None:
        self._base, self._clients = base, dict[str, ClusterClient]()

    async def of(self, server_id: str) -> ClusterClient:
        if server_id not in self._clients:
            # As the program's clients: nothing from the environment, and no list of public authorities to be read.
            http = httpx.AsyncClient(base_url=f"{self._base}/{server_id}", verify=False, trust_env=False)
            self._clients[server_id] = ClusterClient(http, "chutes")
        return self._clients[server_id]

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()

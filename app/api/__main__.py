"""`python -m app.api`: the miner API over uvicorn, several workers, one of which leads."""

from __future__ import annotations

import os
import tempfile
from typing import Annotated

import cyclopts
import uvicorn

from app.protocol.ports import ClusterPort

cli = cyclopts.App(name="python -m app.api", help="The miner API.")


@cli.default
def serve(
    *,
    host: str = "0.0.0.0",
    port: int = int(ClusterPort.HTTP),
    workers: Annotated[int, cyclopts.Parameter(validator=cyclopts.validators.Number(gte=1, lte=64))] = 4,
) -> None:
    """Serve until interrupted. Settings come from the environment: MINER_SS58, MINER_SEED, VALIDATORS, and others."""
    with tempfile.TemporaryDirectory(prefix="metrics-") as folder:
        # Where the workers' metrics meet: whichever is asked answers for all (`health`). It is read at import.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        uvicorn.run(
            "app.api.main:create",
            factory=True,
            # By name: a worker imports this file before it can tell its supervisor that it lives: so, little.
            http="app.api.direct:DirectProtocol",
            host=host,
            port=port,
            workers=workers,
            access_log=False,
            proxy_headers=False,  # the peer's address decides about registry headers: nobody may forge it
            server_header=False,
            log_level="warning",
            timeout_graceful_shutdown=10,
            timeout_worker_healthcheck=30,  # a worker that starts on a busy machine is not dead
        )


if __name__ == "__main__":
    cli()

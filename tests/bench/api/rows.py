"""What the measured databases hold."""

from __future__ import annotations

import hashlib
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.storage.additions import NodeProfile
from app.storage.engine import create_engine
from app.storage.migrate import migrate
from app.storage.models import Chute, Deployment, Gpu, Server

SERVERS: Final = 4
DEPLOYMENTS: Final = 8  # on each server
#: Of the node at 127.0.0.1.
REGISTRY_TOKEN: Final = "token"


async def fill(url: str) -> None:
    """4 servers with 8 GPUs and 8 deployments each, of chutes with 20 kB of source."""
    engine = create_engine(url)
    async with AsyncSession(engine) as session, session.begin():
        for c in range(8):
            session.add(
                Chute(
                    chute_id=f"chute-{c}", validator="v", name=f"chute {c}", image="a/b:1", code="x = 1\n" * 3500,
                    filename="a.py", ref_str="a:chute", version="1", supported_gpus=["h100"], gpu_count=1,
                )
            )  # fmt: skip
        await session.flush()
        for s in range(SERVERS):
            session.add(
                Server(
                    server_id=f"server-{s}", validator="v", name=f"node-{s}", ip_address=f"127.0.0.{s + 1}", labels={},
                    status="Ready", gpu_count=8, hourly_cost=2.0, kubeconfig="apiVersion: v1\n" * 100,
                )
            )  # fmt: skip
        await session.flush()
        session.add(
            NodeProfile(server_id="server-0", registry_token_sha256=hashlib.sha256(REGISTRY_TOKEN.encode()).hexdigest())
        )
        for s in range(SERVERS):
            for d in range(DEPLOYMENTS):
                session.add(
                    Deployment(
                        deployment_id=f"deployment-{s}-{d}", validator="v", chute_id=f"chute-{d}", host="h", port=31000,
                        server_id=f"server-{s}", version="1", active=True, config_id=f"config-{s}-{d}",
                    )
                )  # fmt: skip
        await session.flush()
        device: dict[str, object] = {"name": "NVIDIA H100", "memory": 80_000_000_000, "clock_rate": 1980000.0}
        session.add_all(
            Gpu(
                gpu_id=f"gpu-{s}-{d}", server_id=f"server-{s}", deployment_id=f"deployment-{s}-{d}", device_info=device,
                model_short_ref="h100", verified=True,
            )
            for s in range(SERVERS)
            for d in range(DEPLOYMENTS)
        )  # fmt: skip
    await engine.dispose()


async def clear(url: str) -> None:
    """A migrated database without rows."""
    engine = create_engine(url)
    await migrate(engine)
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM servers"))
    await engine.dispose()

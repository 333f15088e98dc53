"""`python -m app.storage migrate | seed | seal`: bring the database named by POSTGRESQL up to date, fill it to try, or
take over the kubeconfigs that public programs stored plain: they are sealed with MINER_SEED, and used from then on.
"""

from __future__ import annotations

import asyncio
import os
import sys

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.storage.engine import create_engine
from app.storage.migrate import migrate
from app.storage.sealing import Vault, align, plain_servers
from app.storage.seed import seed

DEVELOPMENT_VALIDATOR = "simulated-validator"


async def run(action: str, url: str, validator: str) -> None:
    """Carry one action out on one database."""
    engine = create_engine(url, pool_size=1)
    try:
        await migrate(engine)
        if action == "seed":
            await fill(engine, validator)
        if action == "seal":
            await seal(engine, os.environ.get("MINER_SEED", ""))
    finally:
        await engine.dispose()


async def fill(engine: AsyncEngine, validator: str) -> None:
    """Seed in one transaction."""
    async with AsyncSession(engine) as session, session.begin():
        await seed(session, validator)


async def seal(engine: AsyncEngine, seed_hex: str) -> None:
    """Seal what is stored plain, and say of which servers."""
    names = await plain_servers(engine)
    await align(engine, Vault.of_seed(seed_hex), sealed=True)
    print(f"sealed: {', '.join(names) or 'nothing was plain'}")


def main(arguments: list[str]) -> int:
    url = os.environ.get("POSTGRESQL")
    if len(arguments) != 1 or arguments[0] not in ("migrate", "seed", "seal") or not url:
        print("usage: POSTGRESQL=postgresql+asyncpg://... python -m app.storage migrate|seed|seal", file=sys.stderr)
        return 2
    asyncio.run(run(arguments[0], url, os.environ.get("SEED_VALIDATOR", DEVELOPMENT_VALIDATOR)))
    print(f"{arguments[0]}: done")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`python -m app.storage migrate | seed`: bring the database named by POSTGRESQL up to date, or fill it to try."""

from __future__ import annotations

import asyncio
import os
import sys

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.storage.engine import create_engine
from app.storage.migrate import migrate
from app.storage.seed import seed

DEVELOPMENT_VALIDATOR = "simulated-validator"


async def run(action: str, url: str, validator: str) -> None:
    """Carry one action out on one database."""
    engine = create_engine(url, pool_size=1)
    try:
        await migrate(engine)
        if action == "seed":
            await fill(engine, validator)
    finally:
        await engine.dispose()


async def fill(engine: AsyncEngine, validator: str) -> None:
    """Seed in one transaction."""
    async with AsyncSession(engine) as session, session.begin():
        await seed(session, validator)


def main(arguments: list[str]) -> int:
    url = os.environ.get("POSTGRESQL")
    if len(arguments) != 1 or arguments[0] not in ("migrate", "seed") or not url:
        print("usage: POSTGRESQL=postgresql+asyncpg://... python -m app.storage migrate|seed", file=sys.stderr)
        return 2
    asyncio.run(run(arguments[0], url, os.environ.get("SEED_VALIDATOR", DEVELOPMENT_VALIDATOR)))
    print(f"{arguments[0]}: done")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

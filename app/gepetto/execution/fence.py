"""The fence around a leader's acts: whoever leads no longer cannot act any more (spec: gepetto 24.1, 27.19).

Each leader takes a new epoch from the database. Every write of the store locks the epoch's row and looks at it in its
own transaction; every act on a cluster or a validator looks at it just before. A former leader that has not noticed yet
is therefore stopped at its next step; what it had already sent is in the journal, where its successor finds it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

NAME: Final = "gepetto"
ANSWER_SECONDS: Final = 10.0
#: An act needs a look at the epoch that is at most so old; a write of the store is such a look.
FRESH_SECONDS: Final = 1.0

# Waits for the writes of the former leader that have looked at the old epoch already.
_TAKE: Final = text("""
INSERT INTO gepetto_leader (name, epoch) VALUES (:name, 1)
ON CONFLICT (name) DO UPDATE SET epoch = gepetto_leader.epoch + 1, taken_at = now() RETURNING epoch
""")
#: For a single statement: its writes ask `EXISTS (SELECT 1 FROM held)`, which locks the row before they write.
HELD: Final = "held AS MATERIALIZED (SELECT 1 FROM gepetto_leader WHERE name = :leader AND epoch = :epoch FOR SHARE)"
_LOOK: Final = text("SELECT 1 FROM gepetto_leader WHERE name = :name AND epoch = :epoch FOR SHARE")


class FencedWrite:
    """A write in two forms: alone, and with the leader's fence in the same statement.

    Its text begins with `WITH`; `{held}` stands where all that it writes depends on it. It writes something or returns
    nothing, or a count of 0.
    """

    def __init__(self, query: str) -> None:
        self.alone = text(query.format(held="true"))
        self.fenced = text(query.format(held="EXISTS (SELECT 1 FROM held)").replace("WITH ", f"WITH {HELD}, ", 1))


class DeposedError(Exception):
    """This process leads no longer: somebody else has a later epoch. Nothing was done."""


class Fence:
    """The epoch of one process. Before `take_over` nothing may be done at all."""

    def __init__(self, engine: AsyncEngine, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine, self._clock = engine, clock
        self._epoch: int | None = None
        self._seen_at = float("-inf")

    async def take_over(self) -> int:
        """Take a new epoch; every older one is over. Only for the holder of the leader's lock."""
        async with asyncio.timeout(ANSWER_SECONDS), self._engine.begin() as connection:
            epoch = int((await connection.execute(_TAKE, {"name": NAME})).scalar_one())
        self._epoch, self._seen_at = epoch, self._clock()
        return epoch

    @property
    def values(self) -> dict[str, object]:
        """What `HELD` asks for; no leader ever has epoch 0."""
        return {"leader": NAME, "epoch": self._epoch or 0}

    def was_held(self, asked_at: float) -> None:
        """A statement with `HELD` that was sent at that moment has written something."""
        self._seen_at = max(self._seen_at, asked_at)

    def now(self) -> float:
        """The fence's own clock."""
        return self._clock()

    async def hold(self, connection: AsyncConnection) -> None:
        """Keep this epoch the newest until the connection's transaction has ended.

        Raises:
            DeposedError: it is not the newest, or there is none.
        """
        asked_at = self._clock()
        found = None
        if self._epoch is not None:
            found = (await connection.execute(_LOOK, {"name": NAME, "epoch": self._epoch})).first()
        if found is None:
            raise DeposedError(f"epoch {self._epoch} is over: another process leads, and nothing was done here")
        self._seen_at = asked_at

    async def check(self) -> None:
        """Look whether this process still leads; needed before each act on a cluster or a validator.

        Raises:
            DeposedError: it does not.
        """
        if self._epoch is not None and self._clock() - self._seen_at < FRESH_SECONDS:
            return
        async with asyncio.timeout(ANSWER_SECONDS), self._engine.begin() as connection:
            await self.hold(connection)

"""Where the proofs of a node's devices wait for each other. No protocol, no I/O."""

import asyncio


class Rendezvous:
    """A meeting of a number of parties that happens again and again; a party that leaves is not waited for."""

    def __init__(self, parties: int) -> None:
        self._parties = parties
        self._arrived = 0
        self._meetings = 0
        self._changed = asyncio.Condition()

    async def meet(self) -> None:
        """Wait until every party that is left has come."""
        async with self._changed:
            meeting = self._meetings
            self._arrived += 1
            self._settle()
            await self._changed.wait_for(lambda: self._meetings != meeting)

    async def leave(self) -> None:
        """Come no more."""
        async with self._changed:
            self._parties -= 1
            self._settle()

    def _settle(self) -> None:
        if self._arrived and self._arrived >= self._parties:
            self._arrived = 0
            self._meetings += 1
            self._changed.notify_all()

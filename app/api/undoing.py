"""What a failed adding takes back: first at the validator, then here, then at the agent. It knows no step of an adding.

A row goes only once the validator has forgotten the server: it says what there is to forget, and adding the node again,
or removing it, finishes that. What this adding did not do is not undone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.api.agents import AgentClient, AgentError
from app.storage import servers
from app.storage.engine import OUTAGES
from app.storage.models import Gpu
from app.validators.client import ValidatorClient
from app.validators.errors import ValidatorError
from app.validators.forgetting import forget_server

log = structlog.get_logger(__name__)


@dataclass
class Progress:
    """What must be undone, in the order in which it was done."""

    server_id: str | None = None
    is_monitored: bool = False
    is_advertised: bool = False


@dataclass(frozen=True)
class Undoing:
    """Takes an adding back; one failure does not stop the rest and never hides the first error."""

    engine: AsyncEngine
    validator: ValidatorClient
    agent: AgentClient
    say: Callable[[str], Awaitable[None]]

    async def undo(self, done: Progress) -> None:
        """Take back what was done, and say what could not be."""
        if done.server_id is not None and (not done.is_advertised or await self._forget(done.server_id)):
            await self._remove(done.server_id)
        if done.is_monitored:
            try:
                await self.agent.stop_monitoring()
            except AgentError as error:
                log.warning("an agent goes on reporting", agent=self.agent.url, error=str(error))

    async def _forget(self, server_id: str) -> bool:
        try:
            async with AsyncSession(self.engine) as session:
                gpu_ids = (await session.scalars(select(Gpu.gpu_id).where(Gpu.server_id == server_id))).all()
            await forget_server(self.validator, server_id, gpu_ids)
        except (ValidatorError, SQLAlchemyError, *OUTAGES) as error:
            log.warning("a validator was not made to forget a server", server_id=server_id, error=str(error))
            await self.say(
                "the validator may still know the server, so its row stays: add the node again to clear both"
            )
            return False
        return True

    async def _remove(self, server_id: str) -> None:
        try:
            async with AsyncSession(self.engine) as session, session.begin():
                await servers.remove(session, server_id)
            await self.say("removed the server's row")
        except (SQLAlchemyError, *OUTAGES) as error:
            log.warning("a failed bootstrap left a row", server_id=server_id, error=str(error))
            await self.say("the server's row could not be removed: run delete-node")

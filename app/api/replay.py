"""Each signature works once: remembered in Redis for as long as its nonce is acceptable, shared by all workers.

Requests that arrive together are asked about together, in one round trip. The first one never waits.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from app.api.errors import UnavailableError

PREFIX: Final = "headframe:signature:"
#: Twice the window (a nonce may come from the future), and some for clocks that differ between machines.
KEEP_SECONDS: Final = 75
TIMEOUT_SECONDS: Final = 2.0
BATCH: Final = 500
#: How long requests that came during a round trip wait for others, before the next one.
GATHER_SECONDS: Final = 0.001
#: Takes the tokens as one text: a client spends more on many arguments than the server on cutting one.
_SCRIPT: Final = """
local fresh = {}
for token in string.gmatch(ARGV[3], '%S+') do
  if redis.call('SET', ARGV[2] .. token, '', 'NX', 'EX', ARGV[1]) then fresh[#fresh + 1] = 1
  else fresh[#fresh + 1] = 0 end
end
return fresh
"""
_DIGEST: Final = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()

log = structlog.get_logger(__name__)


class ReplayGuard:
    """Remembers tokens. `is_fresh` is true the first time, over all workers, and never again within 75 seconds.

    Args:
        redis: asked for one thing at a time, so a client with a single connection serves best.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: list[tuple[str, asyncio.Future[bool]]] = []
        self._flusher: asyncio.Task[None] | None = None
        #: Asked for once: up to Python 3.11 the question is a system call.
        self._loop: asyncio.AbstractEventLoop | None = None

    def is_fresh(self, token: str) -> asyncio.Future[bool]:
        """Whether nobody has used this token yet; from now on it is used.

        Raises (where it is awaited):
            UnavailableError: Redis does not answer. Nothing is accepted then: a replay could not be told.
        """
        loop = self._loop = self._loop or asyncio.get_running_loop()
        answer: asyncio.Future[bool] = loop.create_future()
        self._waiting.append((token, answer))
        if self._flusher is None or self._flusher.done():
            self._flusher = loop.create_task(self._flush())
        return answer

    async def _flush(self) -> None:
        busy = False
        while self._waiting:
            if busy:  # a round trip costs much more than a request's share of it: let more of them come together
                await asyncio.sleep(GATHER_SECONDS)
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    tokens = " ".join([token for token, _ in batch])
                    fresh = await self._ask(tokens)
                if len(fresh) != len(batch):
                    raise ValueError(f"asked about {len(batch)} tokens, Redis answered about {len(fresh)}")
            except (RedisError, OSError, TimeoutError):
                self._fail(batch)
                continue
            except Exception:  # whatever it is, nobody may wait for ever
                log.exception("signatures could not be checked against replay")
                self._fail(batch)
                continue
            busy = True
            for (_, answer), first in zip(batch, fresh, strict=True):
                if not answer.done():
                    answer.set_result(first == 1)

    async def _ask(self, tokens: str) -> list[int]:
        """1 for each token that was not there, by the script's digest; a server that lost the script gets its text."""
        try:
            found: list[int] = await self._redis.evalsha(_DIGEST, 0, KEEP_SECONDS, PREFIX, tokens)
        except NoScriptError:
            found = await self._redis.eval(_SCRIPT, 0, KEEP_SECONDS, PREFIX, tokens)
        return found

    @staticmethod
    def _fail(batch: list[tuple[str, asyncio.Future[bool]]]) -> None:
        for _, answer in batch:
            if not answer.done():
                answer.set_exception(
                    UnavailableError("redis", "it does not answer; requests cannot be checked against replay")
                )

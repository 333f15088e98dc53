"""Publishes what the scheduler weighed, for `headframe why` over the miner API (spec: gepetto 24.5). Acts on nothing.

Bounded in number and size, written as a whole, and gone some minutes after the last leader that wrote it.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.explain import Explainer
from app.gepetto.decision.gate import Refusal
from app.gepetto.decision.intents import Intent, NoOp, RecordInstance, Swap
from app.gepetto.decision.memory import Memory
from app.gepetto.world.snapshot import Snapshot
from app.protocol.channels import SCHEDULER_REASONS

log = structlog.get_logger(__name__)

EXPIRY_SECONDS: Final = 180
WRITE_SECONDS: Final = 10.0
MOST_CHUTES: Final = 500
MOST_SERVERS: Final = 20
MOST_LINES: Final = 10

JsonObject = dict[str, object]


@dataclass(frozen=True, slots=True)
class Weighed:
    """One decision as far as it can be explained."""

    snapshot: Snapshot
    configuration: Configuration
    decider: str
    intents: tuple[Intent, ...] = ()
    refused: tuple[Refusal, ...] = ()


async def reasons_of(weighed: Weighed) -> dict[str, JsonObject]:
    """What is to be said of each chute and server, by id. Lets other work go on between two chutes."""
    snapshot = weighed.snapshot
    explainer = Explainer(snapshot, weighed.configuration, Memory(), weighed.intents)
    lines = _lines(weighed)
    about: JsonObject = {"decided_at": datetime.fromtimestamp(snapshot.now, UTC).isoformat(), "by": weighed.decider}
    found: dict[str, JsonObject] = {}
    for server in snapshot.servers:
        free = {"free_gpus": server.free, "gpus": server.gpu_total, "locked": server.locked, "healthy": server.healthy}
        found[server.id] = about | free | lines.get(server.id, {})
    for chute_id in explainer.ranked()[:MOST_CHUTES]:
        explanation = explainer.of(chute_id)
        if explanation is not None:
            body = asdict(explanation)
            body["server_obstacles"] = dict(list(explanation.server_obstacles.items())[:MOST_SERVERS])
            found[chute_id] = about | body | lines.get(chute_id, {})
        await asyncio.sleep(0)
    return found


def _lines(weighed: Weighed) -> dict[str, dict[str, list[str]]]:
    """Intents and refusals by the ids of the chute, the server and the deployments' chutes that they concern."""
    rows = {row.id: row for row in weighed.snapshot.deployments}
    found: dict[str, dict[str, list[str]]] = {}

    def say(intent: Intent, name: str, line: str) -> None:
        if isinstance(intent, NoOp | RecordInstance):
            return
        launch = intent.launch if isinstance(intent, Swap) else intent
        row = rows.get(getattr(intent, "deployment_id", ""))
        for subject in {
            getattr(launch, "chute_id", None), getattr(launch, "server_id", None), row.chute_id if row else None,
            row.server_id if row else None,
        } - {None}:  # fmt: skip
            lines = found.setdefault(str(subject), {}).setdefault(name, [])
            if len(lines) < MOST_LINES:
                lines.append(line)

    for intent in weighed.intents:
        say(intent, "doing", f"{intent.key} {getattr(intent, 'reason', '')}".strip())
    for refusal in weighed.refused:
        say(refusal.intent, "held_back", f"{refusal.intent.key}: {refusal.reason}")
    return found


async def publish(redis: Redis, weighed: Weighed) -> int:
    """Write it in the place of what was there; returns of how many subjects. An outage of Redis is told, and passes."""
    fields = {key: orjson.dumps(body) for key, body in (await reasons_of(weighed)).items()}
    draft = f"{SCHEDULER_REASONS}:draft"
    try:
        async with asyncio.timeout(WRITE_SECONDS), redis.pipeline(transaction=True) as batch:
            batch.delete(draft if fields else SCHEDULER_REASONS)
            if fields:
                batch.hset(draft, mapping=fields)  # type: ignore[arg-type]
                batch.expire(draft, EXPIRY_SECONDS)
                batch.rename(draft, SCHEDULER_REASONS)
            await batch.execute()
    except (RedisError, OSError, TimeoutError) as error:
        log.warning("what the scheduler weighed is not published", reason=type(error).__name__)
        return 0
    return len(fields)

"""What happened since the last decision, for the public names that are told of events (spec: gepetto 9, 24.7).

Gepetto decides on snapshots; files in the public style expect to be told. What was seen stands in the strategy's notes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from app.gepetto.strategies.base import Context
from app.gepetto.world.views import ChuteView, DeploymentView, OrderKind, ServerView

_NOTES = "news"
NAMES = frozenset({"chute_updated", "rolling_update", "server_deleted", "gpu_deleted"})
NewsItem = tuple[str, ChuteView | DeploymentView | ServerView | str]


class News:
    """Finds news for the names that a file replaced; for none, nothing is compared."""

    def __init__(self, replaced: Collection[str]) -> None:
        self._wanted = NAMES & set(replaced)

    def since_last(self, ctx: Context) -> list[NewsItem]:
        """Method name and subject of each news, once. The first snapshot is no news."""
        if not self._wanted:
            return []
        known = ctx.notes.get(_NOTES)
        now: dict[str, list[str]] = {
            "versions": [f"{chute.id} {chute.version}" for chute in ctx.snapshot.chutes],
            "gpus": [f"{server.id} {gpu}" for server in ctx.snapshot.servers for gpu in server.gpu_ids],
            "orders": [f"{order.kind.value} {order.subject_id}" for order in ctx.snapshot.orders],
        }
        ctx.notes[_NOTES] = {name: list(values) for name, values in now.items()}
        if not isinstance(known, dict):
            return []
        before = {name: {str(value) for value in values} for name, values in known.items() if isinstance(values, list)}
        found = (*_updates(ctx, before), *_gone_gpus(ctx, before, now), *_orders(ctx, before))
        return [item for item in found if item[0] in self._wanted]


def _updates(ctx: Context, before: dict[str, set[str]]) -> Iterator[NewsItem]:
    chutes_before = {item.split(" ")[0] for item in before.get("versions", ())}
    for chute in ctx.snapshot.chutes:
        if chute.id in chutes_before and f"{chute.id} {chute.version}" not in before["versions"]:
            yield "chute_updated", chute


def _gone_gpus(ctx: Context, before: dict[str, set[str]], now: dict[str, list[str]]) -> Iterator[NewsItem]:
    servers = {server.id for server in ctx.snapshot.servers}
    for item in sorted(before.get("gpus", set()) - set(now["gpus"])):
        server_id, gpu = item.split(" ", 1)
        if server_id in servers:
            yield "gpu_deleted", gpu


def _orders(ctx: Context, before: dict[str, set[str]]) -> Iterator[NewsItem]:
    servers = {server.id: server for server in ctx.snapshot.servers}
    for order in ctx.snapshot.orders:
        if f"{order.kind.value} {order.subject_id}" in before.get("orders", set()):
            continue
        if order.kind is OrderKind.SERVER_DELETED and order.subject_id in servers:
            yield "server_deleted", servers[order.subject_id]
        if order.kind is OrderKind.ROLLING_UPDATE:
            for row in ctx.snapshot.deployments:
                if row.instance_id == order.subject_id:
                    yield "rolling_update", row

"""A file in the public program's style as a strategy: calls its methods where the strategy's own hooks are asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from app.compat.news import News
from app.compat.strategy import Gepetto
from app.gepetto.decision.intents import Evidence, Intent, Launch, Swap, Terminate
from app.gepetto.strategies import ShadowPrice
from app.gepetto.strategies.base import Context
from app.gepetto.world.views import ChuteView, DeploymentView, JobView, ServerView

Kind = TypeVar("Kind")
#: The strategy's hooks, and the public names that stand behind each.
_BEHIND = {
    "rank_servers": {"optimal_scale_up_server"},
    "on_bounty": {"bounty_changed", "scale_chute"},
    "on_new_chute": {"chute_created"},
    "choose_victims": {"preempting_deploy"},
}


class Subclassed(ShadowPrice):
    """Calls the public names of a `Gepetto`. A name that the file does not replace costs nothing."""

    name = "subclass"

    def __init__(self, gepetto: Gepetto) -> None:
        self._gepetto = gepetto
        self._own = {name for name in dir(Gepetto) if getattr(type(gepetto), name, None) is not getattr(Gepetto, name)}
        self._news = News(self._own)

    def plan(self, ctx: Context) -> list[Intent]:
        self._gepetto.ctx = ctx
        for name, subject in self._news.since_last(ctx):
            _result(getattr(self._gepetto, name)(subject))
        return [*super().plan(ctx), *self._scaled_down(ctx), *self._reconciled()]

    def plan_launches(self, ctx: Context, budget: int) -> list[Launch]:
        found = _result(self._call("_autoscale")) if "_autoscale" in self._own else None
        if found is None:
            return super().plan_launches(ctx, budget)
        launches = _items(found, "_autoscale", Launch)
        return launches[:budget]

    def _call(self, name: str) -> object:
        return getattr(self._gepetto, name)()

    def _scaled_down(self, ctx: Context) -> list[Terminate]:
        if "optimal_scale_down_deployment" not in self._own:
            return []
        found = (_result(self._gepetto.optimal_scale_down_deployment(chute)) for chute in ctx.snapshot.chutes)
        rows = [item for item in found if isinstance(item, DeploymentView)]
        return [Terminate(row.id, Evidence.STRATEGY, "the operator's file") for row in rows]

    def _reconciled(self) -> list[Terminate]:
        """Whatever evidence the file names, it is the file's word: confirmed facts have rules of their own."""
        if "reconcile" not in self._own:
            return []
        wanted = _items(_result(self._call("reconcile")) or [], "reconcile", Terminate)
        return [Terminate(item.deployment_id, Evidence.STRATEGY, item.reason) for item in wanted]

    def _overrides(self, *names: str) -> bool:
        return any(_BEHIND.get(name, set()) & self._own for name in names)

    def rank_servers(self, ctx: Context, chute: ChuteView) -> Iterable[str]:  # noqa: ARG002 - a hook's signature
        server = _result(self._gepetto.optimal_scale_up_server(chute))
        return () if not isinstance(server, ServerView) else (server.id,)

    def choose_victims(self, ctx: Context, chute: ChuteView) -> Swap | None:  # noqa: ARG002 - a hook's signature
        found = _result(self._gepetto.preempting_deploy(chute))
        return found if isinstance(found, Swap) else None

    def on_bounty(self, ctx: Context, chute: ChuteView) -> bool:  # noqa: ARG002 - a hook's signature
        if not _result(self._gepetto.bounty_changed(chute)):
            return False
        return bool(_result(self._gepetto.scale_chute(chute, 1, preempt=True)))

    def on_job(self, ctx: Context, job: JobView) -> bool:
        if not _result(self._gepetto.job_created(job)):
            return False
        if "run_job" not in self._own:
            return True
        position = ctx.columns.chute_index[job.chute_id]
        server = ctx.fleet.best_server(position, job.disk_gb)
        if server is None:
            return False
        views = ctx.snapshot.chutes[position], ctx.snapshot.servers[server]
        return bool(_result(self._gepetto.run_job(views[0], job, views[1])))

    def on_new_chute(self, ctx: Context, chute: ChuteView) -> bool:  # noqa: ARG002 - a hook's signature
        return bool(_result(self._gepetto.chute_created(chute)))


def _items(found: object, name: str, kind: type[Kind]) -> list[Kind]:
    items = list(found) if isinstance(found, list | tuple) else None
    if items is None or not all(isinstance(item, kind) for item in items):
        raise TypeError(f"{name} gives a list of {kind.__name__}, or None; got {found!r:.100}")
    return items


def _result(found: object) -> object:
    """The value of a plain call, or of an async one that never really waits."""
    if not hasattr(found, "send"):
        return found
    try:
        found.send(None)
    except StopIteration as stop:
        return stop.value
    raise TypeError("an async hook of a strategy file must not wait for anything: all it may read is in self.ctx")

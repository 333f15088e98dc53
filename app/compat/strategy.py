"""`headframe.strategy`: the public base for operators' own strategies (spec: gepetto 24.2, 24.7 B).

A file derives from `DefaultStrategy`, or from `Gepetto` to keep the public program's method names.
"""

from __future__ import annotations

from collections.abc import Iterable

from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.decide import decide
from app.gepetto.decision.intents import Evidence, Intent, Launch, NoOp, Swap, Terminate
from app.gepetto.decision.memory import Memory
from app.gepetto.strategies import Conservative, GreedyValue, Matching, ShadowPrice, Strategy, UpstreamCompat
from app.gepetto.strategies.base import Context
from app.gepetto.world.snapshot import Snapshot
from app.gepetto.world.views import ChuteView, DeploymentView, JobView, ServerView

DefaultStrategy = ShadowPrice

__all__ = [
    "ChuteView",
    "Configuration",
    "Conservative",
    "Context",
    "DefaultStrategy",
    "DeploymentView",
    "Evidence",
    "Gepetto",
    "GreedyValue",
    "Intent",
    "JobView",
    "Launch",
    "Matching",
    "Memory",
    "NoOp",
    "ServerView",
    "ShadowPrice",
    "Snapshot",
    "Strategy",
    "Swap",
    "Terminate",
    "UpstreamCompat",
    "decide",
]


class Gepetto:
    """Base for files in the public program's style: the same method names, on views instead of database rows.

    Each method may be overridden, as a plain or an async method. `ctx` is set before every call.
    """

    ctx: Context

    def optimal_scale_up_server(self, chute: ChuteView, disk_gb: int = 10) -> ServerView | None:
        """The server for one more copy, or None."""
        row = ShadowPrice().best_server(self.ctx, self.ctx.position(chute)) if disk_gb == 10 else None
        if disk_gb != 10:
            row = self.ctx.fleet.best_server(self.ctx.position(chute), disk_gb)
        return None if row is None else self.ctx.snapshot.servers[row]

    def optimal_scale_down_deployment(self, chute: ChuteView) -> DeploymentView | None:  # noqa: ARG002
        """A copy to end, or None. The default ends nothing: own deletions cost income."""
        return None

    def preempting_deploy(self, chute: ChuteView) -> Swap | None:
        """What to end for a copy of this chute, or None."""
        return ShadowPrice().choose_victims(self.ctx, chute)

    def scale_chute(self, chute: ChuteView, desired_count: int, preempt: bool = False) -> bool:  # noqa: ARG002
        """Whether to bring the chute to that many copies."""
        return preempt or desired_count > 0

    def bounty_changed(self, chute: ChuteView) -> bool:
        """Whether to take a bounty."""
        return chute.bounty

    def job_created(self, job: JobView) -> bool:
        """Whether to run a job."""
        return self.ctx.snapshot.hotkey not in job.excluded

    def chute_created(self, chute: ChuteView) -> bool:
        """Whether to start a chute of which no copy of ours runs."""
        return chute.has_cords

    def as_strategy(self) -> Strategy:
        """This object as a strategy."""
        return _Subclassed(self)


class _Subclassed(ShadowPrice):
    """Calls the public names of a `Gepetto` where the strategy's own hooks are asked."""

    name = "subclass"

    def __init__(self, gepetto: Gepetto) -> None:
        self._gepetto = gepetto
        self._own = {name for name in dir(Gepetto) if getattr(type(gepetto), name, None) is not getattr(Gepetto, name)}

    def plan(self, ctx: Context) -> list[Intent]:
        self._gepetto.ctx = ctx
        intents = super().plan(ctx)
        if "optimal_scale_down_deployment" in self._own:
            found = (_result(self._gepetto.optimal_scale_down_deployment(chute)) for chute in ctx.snapshot.chutes)
            intents += [
                Terminate(item.id, Evidence.STRATEGY, "the operator's file")
                for item in found
                if isinstance(item, DeploymentView)
            ]
        return intents

    def _overrides(self, *names: str) -> bool:
        hooks = {
            "rank_servers": {"optimal_scale_up_server"},
            "on_bounty": {"bounty_changed", "scale_chute"},
            "on_new_chute": {"chute_created"},
        }
        return any(hooks.get(name, set()) & self._own for name in names)

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

    def on_job(self, ctx: Context, job: JobView) -> bool:  # noqa: ARG002 - a hook's signature
        return bool(_result(self._gepetto.job_created(job)))

    def on_new_chute(self, ctx: Context, chute: ChuteView) -> bool:  # noqa: ARG002 - a hook's signature
        return bool(_result(self._gepetto.chute_created(chute)))


def _result(found: object) -> object:
    """The value of a plain call, or of an async one that never really waits."""
    if not hasattr(found, "send"):
        return found
    try:
        found.send(None)
    except StopIteration as stop:
        return stop.value
    raise TypeError("an async hook of a strategy file must not wait for anything: all it may read is in self.ctx")

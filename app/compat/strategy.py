"""`headframe.strategy`: the public base for operators' own strategies (spec: gepetto 24.2, 24.7 B).

A file derives from `DefaultStrategy`, or from `Gepetto` to keep the public program's method names.
"""

from __future__ import annotations

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

    def run_job(self, chute: ChuteView, job: JobView, server: ServerView) -> bool:  # noqa: ARG002
        """Whether to run a job on the server that was chosen for it."""
        return True

    def _autoscale(self) -> list[Launch] | None:
        """The launches of this decision, planned with `self.ctx.fleet.launch`; None: as the default plans them."""
        return None

    def reconcile(self) -> list[Terminate]:
        """More copies to end; the safety gate looks at each. The default wants none."""
        return []

    # News, each told once. What they return is not looked at; what they print goes to Gepetto's log.
    def chute_updated(self, chute: ChuteView) -> object:
        """A chute has another version than at the last decision."""

    def rolling_update(self, deployment: DeploymentView) -> object:
        """The validator moves one of our copies to a new version; its end is paid and happens anyway."""

    def server_deleted(self, server: ServerView) -> object:
        """The operator takes a server out; its copies end anyway."""

    def gpu_deleted(self, gpu_id: str) -> object:
        """A GPU of a server that stays is no longer there."""

    def as_strategy(self) -> Strategy:
        """This object as a strategy."""
        from app.compat.subclass import Subclassed  # noqa: PLC0415 - it needs this class

        return Subclassed(self)

"""The base of every strategy, with the hooks that operators override (spec: gepetto 24.2). Pure.

Where no per-item hook is overridden, whole columns are scored at once; a hook is called per item only where it exists.
"""

from __future__ import annotations

import random  # only Random(seed): a generator that is part of the input
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.intents import Intent, Launch, Swap
from app.gepetto.decision.memory import JsonValue
from app.gepetto.decision.victims import Victims
from app.gepetto.decision.virtual import VirtualFleet, choose_mask
from app.gepetto.world.columns import Columns, Floats, Integers
from app.gepetto.world.snapshot import Snapshot
from app.gepetto.world.views import ChuteView, JobView, ServerView


@dataclass
class Context:
    """What a hook may look at. `notes` is the strategy's own JSON memory; `fleet` fills up as launches are planned."""

    snapshot: Snapshot
    configuration: Configuration
    columns: Columns
    fleet: VirtualFleet
    notes: dict[str, JsonValue] = field(default_factory=dict)
    _victims: Victims | None = None

    @property
    def now(self) -> float:
        return self.snapshot.now

    @property
    def victims(self) -> Victims:
        """Possible victims, weighed on first use."""
        if self._victims is None:
            self._victims = Victims(self.snapshot, self.fleet)
        return self._victims

    def random(self) -> random.Random:
        """A generator whose numbers follow from the snapshot's seed."""
        return random.Random(self.snapshot.seed)  # noqa: S311 - reproducible on purpose

    def position(self, chute: ChuteView) -> int:
        """Row of a chute in the columns."""
        return self.columns.chute_index[chute.id]


class Strategy:
    """A strategy. Every method may be overridden; `plan` calls the others."""

    name = "base"

    # Hooks per item.
    def score(self, ctx: Context, chute: ChuteView, server: ServerView) -> float | None:
        """Worth of one more copy there, in income per GPU-hour; None: not there."""
        cost = ctx.configuration.value.cost_weight_per_usd * server.hourly_cost
        return float(ctx.fleet.rates[ctx.position(chute)]) - cost

    def rank_chutes(self, ctx: Context) -> Iterable[str]:
        """Ids of chutes in the order in which they are served."""
        scores = self.scores(ctx)
        order = np.argsort(-scores, kind="stable")
        return (ctx.snapshot.chutes[i].id for i in order if np.isfinite(scores[i]))

    def rank_servers(self, ctx: Context, chute: ChuteView) -> Iterable[str]:
        """Ids of servers for one more copy, best first; the first that still fits is taken."""
        best = ctx.fleet.best_server(ctx.position(chute))
        return () if best is None else (ctx.snapshot.servers[best].id,)

    def choose_gpus(self, ctx: Context, chute: ChuteView, server: ServerView) -> int:
        """The GPU mask to take on that server."""
        row = ctx.columns.server_index[server.id]
        return choose_mask(ctx.fleet.masks[row], chute.gpu_count, server.gpu_total)

    def choose_victims(self, ctx: Context, chute: ChuteView) -> Swap | None:
        """What to end for one more copy of the chute; the safety gate looks at it again."""
        return ctx.victims.choose(ctx.position(chute))

    def on_bounty(self, ctx: Context, chute: ChuteView) -> bool:
        """Whether a chute with a bounty may be served now."""
        return bool(ctx.fleet.rates[ctx.position(chute)] > 0)

    def on_job(self, ctx: Context, job: JobView) -> bool:
        """Whether to run a job."""
        return ctx.snapshot.hotkey not in job.excluded

    def on_new_chute(self, ctx: Context, chute: ChuteView) -> bool:
        """Whether a chute that we run no copy of may be served now."""
        return bool(ctx.fleet.rates[ctx.position(chute)] > 0)

    # Whole plans.
    def scores(self, ctx: Context) -> Floats:
        """Score of one more copy of every chute; minus infinity where there is no room for one."""
        if self._overrides("score"):
            return self._scores_by_hook(ctx)
        wanted = (ctx.fleet.rooms > 0) & (ctx.fleet.rates > 0)
        return np.where(wanted, ctx.fleet.rates, -np.inf)

    def plan(self, ctx: Context) -> list[Intent]:
        """Jobs, then launches by score, then swaps."""
        intents: list[Intent] = list(self.plan_jobs(ctx))
        intents += self.plan_launches(ctx, ctx.configuration.placement.launches_per_decision)
        intents += self.plan_swaps(ctx)
        return intents

    def plan_jobs(self, ctx: Context) -> list[Launch]:
        """One launch for every job that fits on free GPUs."""
        planned = []
        for job in sorted(ctx.snapshot.jobs, key=lambda j: (-j.multiplier, j.announced_at, j.id)):
            position = ctx.columns.chute_index.get(job.chute_id)
            if position is None or ctx.snapshot.chutes[position].banned or not self.on_job(ctx, job):
                continue
            server = ctx.fleet.best_server(position, job.disk_gb)
            if server is not None:
                planned.append(ctx.fleet.launch(position, server, "job", disk_gb=job.disk_gb, job_id=job.id))
        return planned

    def plan_launches(self, ctx: Context, budget: int) -> list[Launch]:
        """Copies by falling score, until nothing fits or the budget is used."""
        if not (ctx.fleet.rooms > 0).any() or not (ctx.fleet.free > 0).any():
            return []
        if self._overrides("score", "rank_chutes", "rank_servers", "choose_gpus"):
            return self._launches_by_hooks(ctx, budget)
        scores = self.scores(ctx)
        return self._in_order(ctx, np.argsort(-scores, kind="stable"), scores, budget)

    def _in_order(self, ctx: Context, order: Integers, scores: Floats, budget: int) -> list[Launch]:
        """Copies of the chutes with a score, in that order, as long as there is room for them and budget."""
        planned: list[Launch] = []
        most_free = int(ctx.fleet.free.max(initial=0))
        for position in order[np.isfinite(scores[order])]:
            if len(planned) >= budget or most_free == 0:
                break
            chute = int(position)
            has_room = ctx.fleet.rooms[chute] > 0 and ctx.columns.chute_integers[chute, 0] <= most_free
            if not has_room or not self._is_wanted(ctx, chute):
                continue
            planned += self._copies(ctx, chute, budget - len(planned))
            most_free = int(ctx.fleet.free.max(initial=0))
        return planned

    def _copies(self, ctx: Context, chute: int, budget: int) -> list[Launch]:
        """Copies of one chute, until it has enough, nothing fits or the budget is used."""
        planned: list[Launch] = []
        while ctx.fleet.rooms[chute] > 0 and len(planned) < budget:
            server = self.best_server(ctx, chute)
            if server is None:
                break
            planned.append(ctx.fleet.launch(chute, server, self._reason(ctx, chute)))
        return planned

    def best_server(self, ctx: Context, chute: int) -> int | None:
        """Row of the server for one more copy."""
        return ctx.fleet.best_server(chute)

    def plan_swaps(self, ctx: Context) -> list[Swap]:
        """At most so many swaps per decision, for the best chutes that found no free GPUs."""
        limits = ctx.configuration.swap
        if not limits.enabled or limits.per_decision == 0:
            return []
        scores = np.where(ctx.fleet.rooms > 0, self.scores(ctx), -np.inf)
        planned: list[Swap] = []
        for position in np.argsort(-scores, kind="stable")[: limits.considered]:
            if not np.isfinite(scores[position]) or len(planned) >= limits.per_decision:
                break
            if ctx.fleet.open_for(int(position)).any():
                continue
            swap = self.choose_victims(ctx, ctx.snapshot.chutes[int(position)])
            if swap is not None:
                planned.append(swap)
        return planned

    # Inner workings.
    def _overrides(self, *names: str) -> bool:
        """Whether an operator's file replaced one of these hooks; our own classes mark theirs as vectorised."""
        return any(
            not getattr(getattr(type(self), name), "__module__", "").startswith("app.gepetto.") for name in names
        )

    def _is_wanted(self, ctx: Context, chute: int) -> bool:
        view = ctx.snapshot.chutes[chute]
        if view.bounty and self._overrides("on_bounty"):
            return self.on_bounty(ctx, view)
        if view.my_active + view.my_pending == 0 and self._overrides("on_new_chute"):
            return self.on_new_chute(ctx, view)
        return True

    @staticmethod
    def _reason(ctx: Context, chute: int) -> str:
        return "bounty" if ctx.snapshot.chutes[chute].bounty else "scale"

    def _scores_by_hook(self, ctx: Context) -> Floats:
        scores = np.full(len(ctx.snapshot.chutes), -np.inf)
        for position in np.flatnonzero(ctx.fleet.rooms > 0):
            chute = ctx.snapshot.chutes[int(position)]
            for row in np.flatnonzero(ctx.fleet.fits(int(position))):
                value = self.score(ctx, chute, ctx.snapshot.servers[int(row)])
                if value is not None and value > scores[position]:
                    scores[position] = value
        return scores

    def _launches_by_hooks(self, ctx: Context, budget: int) -> list[Launch]:
        planned: list[Launch] = []
        for chute_id in self.rank_chutes(ctx):
            position = ctx.columns.chute_index.get(chute_id)
            if position is None or not self._is_wanted(ctx, position):
                continue
            chute = ctx.snapshot.chutes[position]
            while ctx.fleet.rooms[position] > 0 and len(planned) < budget:
                server = self._server_by_hooks(ctx, chute, position)
                if server is None:
                    break
                view = ctx.snapshot.servers[server]
                mask = self.choose_gpus(ctx, chute, view)
                if mask & ~ctx.fleet.masks[server] or mask.bit_count() != chute.gpu_count:
                    raise ValueError(f"choose_gpus gave mask {mask:#x} for {chute.gpu_count} free GPUs of {view.name}")
                planned.append(ctx.fleet.launch(position, server, self._reason(ctx, position), mask=mask))
        return planned

    def _server_by_hooks(self, ctx: Context, chute: ChuteView, position: int) -> int | None:
        fits = ctx.fleet.open_for(position)
        if self._overrides("rank_servers"):
            ranked = (ctx.columns.server_index.get(server) for server in self.rank_servers(ctx, chute))
            return next((row for row in ranked if row is not None and fits[row]), None)
        if not self._overrides("score"):
            return self.best_server(ctx, position)
        scored = [(self.score(ctx, chute, ctx.snapshot.servers[int(row)]), -int(row)) for row in np.flatnonzero(fits)]
        eligible = [(value, row) for value, row in scored if value is not None]
        if not eligible:
            return None
        best = max(value for value, _ in eligible)
        default = self.best_server(ctx, position)
        if default is not None and (best, -default) in eligible:
            return default
        return -max(eligible)[1]

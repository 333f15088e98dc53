"""The safety gate: what no strategy and no difference may do (spec: gepetto 24.1, 24.10; rules 27.10, 27.15). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.intents import (
    DrainServer,
    Evidence,
    ForgetInstance,
    Intent,
    Launch,
    RemoveOrphan,
    Swap,
    Terminate,
)
from app.gepetto.decision.victims import may_be_victim
from app.gepetto.world.columns import is_taken
from app.gepetto.world.snapshot import Snapshot, SourceName
from app.gepetto.world.views import NOTHING, ChuteView, DeploymentState, DeploymentView, ServerView


@dataclass(frozen=True, slots=True)
class Refusal:
    """An intent that the gate held back, and why. `alert` asks for a person."""

    intent: Intent
    reason: str
    alert: bool = False


@dataclass(frozen=True, slots=True)
class Spent:
    """When copies were ended by us, and which servers drained: the destructive budget of the running window."""

    copies: tuple[float, ...] = ()
    servers: Mapping[str, float] = field(default_factory=lambda: NOTHING)


@dataclass
class _Gate:
    snapshot: Snapshot
    configuration: Configuration
    copies: list[float]
    servers: dict[str, float]
    refused: list[Refusal] = field(default_factory=list)
    allowed: list[Intent] = field(default_factory=list)
    rows: dict[str, DeploymentView] = field(default_factory=dict)
    chutes: dict[str, ChuteView] = field(default_factory=dict)
    machines: dict[str, ServerView] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)

    @cached_property
    def active(self) -> int:
        """How many copies of ours are active."""
        return sum(1 for row in self.snapshot.deployments if row.state is DeploymentState.ACTIVE)

    @property
    def approved(self) -> bool:
        return self.configuration.safety.approved_until > self.snapshot.now

    def budget_left(self) -> int:
        return self.configuration.safety.most_endings(self.active) - len(self.copies)

    def refuse(self, intent: Intent, reason: str, *, alert: bool = False) -> None:
        self.refused.append(Refusal(intent, reason, alert))


def pass_gate(
    snapshot: Snapshot, intents: tuple[Intent, ...], configuration: Configuration, spent: Spent
) -> tuple[tuple[Intent, ...], tuple[Refusal, ...], Spent]:
    """Split intents into those that may be done now and those held back; the budget that is left goes with them."""
    window = snapshot.now - configuration.safety.destructive_window_seconds
    gate = _Gate(
        snapshot,
        configuration,
        [at for at in spent.copies if at > window],
        {server: at for server, at in spent.servers.items() if at > window},
    )
    if intents:
        gate.rows = {row.id: row for row in snapshot.deployments}
        gate.chutes = {chute.id: chute for chute in snapshot.chutes}
        gate.machines = {server.id: server for server in snapshot.servers}
    tripped = _breaker(gate, intents)
    seen: set[str] = set()
    for intent in intents:
        if intent.key in seen:
            continue
        seen.add(intent.key)
        if tripped and _is_absence(intent):
            gate.refuse(intent, "the circuit breaker is open: too much looks absent at once", alert=True)
        else:
            _judge(gate, intent)
    return tuple(gate.allowed), tuple(gate.refused), Spent(tuple(gate.copies), gate.servers)


def _is_absence(intent: Intent) -> bool:
    return isinstance(intent, Terminate | RemoveOrphan | ForgetInstance) and intent.evidence.is_absence


def _breaker(gate: _Gate, intents: tuple[Intent, ...]) -> bool:
    """Whether absences would end more than the share of one pass."""
    safety = gate.configuration.safety
    absences = sum(1 for intent in intents if _is_absence(intent))
    total = max(len(gate.snapshot.deployments), len(gate.snapshot.pods), len(gate.snapshot.instances), 1)
    return absences >= safety.breaker_minimum and absences > total * safety.breaker_share and not gate.approved


def _judge(gate: _Gate, intent: Intent) -> None:
    match intent:
        case Launch():
            _launch(gate, intent)
        case Swap():
            _swap(gate, intent)
        case Terminate():
            _terminate(gate, intent)
        case DrainServer():
            _drain(gate, intent)
        case RemoveOrphan() | ForgetInstance():
            if gate.budget_left() <= 0 and not gate.approved:
                gate.refuse(intent, "the destructive budget of this window is used up", alert=True)
            else:
                gate.copies.append(gate.snapshot.now)
                gate.allowed.append(intent)
        case _:
            gate.allowed.append(intent)


def _launch(gate: _Gate, intent: Launch, extra_mask: int = 0) -> bool:
    """GPUs exist, are free (or freed by the same plan) and are promised once; the chute is one that may run there."""
    server, chute = gate.machines.get(intent.server_id), gate.chutes.get(intent.chute_id)
    reason = ""
    if server is None or chute is None:
        reason = "the server or the chute is not in the snapshot"
    elif intent.gpu_mask.bit_count() != chute.gpu_count:
        reason = f"{intent.gpu_mask.bit_count()} GPUs were chosen, the chute needs {chute.gpu_count}"
    elif intent.gpu_mask & ~(server.free_mask | extra_mask) or intent.gpu_mask & gate.taken.get(server.id, 0):
        reason = "a chosen GPU is not free"
    elif server.gpu_type not in chute.gpu_types or server.tee != chute.tee or server.locked or chute.banned:
        reason = "the chute may not run there: GPU model, TEE, lock or ban"
    if reason:
        gate.refuse(intent, reason)
        return False
    gate.taken[intent.server_id] = gate.taken.get(intent.server_id, 0) | intent.gpu_mask
    if not extra_mask:
        gate.allowed.append(intent)
    return True


def _swap(gate: _Gate, intent: Swap) -> None:
    victims = [gate.rows.get(victim) for victim in intent.victims]
    chute = gate.chutes.get(intent.launch.chute_id)
    found = [victim for victim in victims if victim is not None]
    reason = _swap_obstacle(gate, intent, found, chute)
    if reason:
        gate.refuse(intent, reason)
        return
    mask = 0
    for victim in found:
        mask |= victim.gpu_mask
    if _launch(gate, intent.launch, mask):
        for victim in found:
            gate.ended[victim.chute_id] = gate.ended.get(victim.chute_id, 0) + 1
            gate.copies.append(gate.snapshot.now)
        gate.allowed.append(intent)


def _swap_obstacle(gate: _Gate, intent: Swap, victims: list[DeploymentView], chute: ChuteView | None) -> str:
    if len(victims) != len(intent.victims) or not victims or chute is None:
        return "a victim or the chute is not in the snapshot"
    return _unfit_victims(gate, intent, victims, chute) or _untimely_swap(gate, victims)


def _unfit_victims(gate: _Gate, intent: Swap, victims: list[DeploymentView], chute: ChuteView) -> str:
    """Why these copies may not make room for that chute; empty if they may."""
    if any(not may_be_victim(victim, gate.snapshot.now, gate.configuration) for victim in victims):
        return "a victim is a job, not preemptible, private, not active or not yet paid"
    if any(victim.chute_id == chute.id or victim.server_id != intent.launch.server_id for victim in victims):
        return "a victim is a copy of the same chute or on another server"
    if sum(victim.multiplier for victim in victims) >= chute.m_eff:
        return "the victims together earn as much as the new copy"
    if any(not _is_spare(gate, chute_id, victims) for chute_id in {victim.chute_id for victim in victims}):
        return "a victim is the last active copy of its chute in the network"
    return ""


def _untimely_swap(gate: _Gate, victims: list[DeploymentView]) -> str:
    """Why no swap may be made now; empty if one may."""
    if gate.budget_left() < len(victims) and not gate.approved:
        return "the destructive budget of this window is used up"
    actives = gate.snapshot.source(SourceName.ACTIVE_INSTANCES)
    if not actives.is_fresh(gate.snapshot.now, gate.configuration.safety.fresh_seconds):
        return "the list of active instances is stale"
    return ""


def _is_spare(gate: _Gate, chute_id: str, victims: list[DeploymentView]) -> bool:
    chute = gate.chutes.get(chute_id)
    leaving = sum(1 for victim in victims if victim.chute_id == chute_id) + gate.ended.get(chute_id, 0)
    return chute is not None and chute.global_active - leaving >= 1


def _terminate(gate: _Gate, intent: Terminate) -> None:
    row, evidence = gate.rows.get(intent.deployment_id), intent.evidence
    if row is None:
        gate.refuse(intent, "no such deployment in the snapshot")
    elif evidence.is_validator_word or evidence is Evidence.POD_FINISHED:
        gate.allowed.append(intent)  # it has ended already; this only tidies up
    elif reason := _protection(gate, row, evidence):
        gate.refuse(intent, reason)
    elif evidence is Evidence.BOUNTY_LOST and _is_lost(gate, row):
        gate.allowed.append(intent)  # nothing that earns is ended, and GPUs are won
    elif gate.budget_left() <= 0 and not gate.approved and not evidence.is_operator_word:
        gate.refuse(intent, "the destructive budget of this window is used up", alert=True)
    else:
        gate.copies.append(gate.snapshot.now)
        gate.allowed.append(intent)


def _protection(gate: _Gate, row: DeploymentView, evidence: Evidence) -> str:
    """What keeps a copy from being ended for that reason, whatever the budget; empty if nothing does."""
    if row.job_id is not None and evidence is not Evidence.OPERATOR:
        return "a job is never ended by us"
    if row.active and (evidence is Evidence.BOUNTY_LOST or not _may_end_active(gate, row, evidence)):
        return "an active copy that is unpaid, or the last one in the network"
    return ""


def _is_lost(gate: _Gate, row: DeploymentView) -> bool:
    chute = gate.chutes.get(row.chute_id)
    return chute is not None and not row.public and is_taken(chute)


def _may_end_active(gate: _Gate, row: DeploymentView, evidence: Evidence) -> bool:
    if evidence.is_operator_word or evidence.is_absence:  # confirmed by a live read before anything happens
        return True
    if gate.configuration.safety.allow_unsafe:
        return True
    paid = row.paid_at is not None and row.paid_at <= gate.snapshot.now
    return paid and _is_spare(gate, row.chute_id, [row])


def _drain(gate: _Gate, intent: DrainServer) -> None:
    """One that was begun in this window goes on: its copies take their time, or its validator gave no answer."""
    others = len(gate.servers.keys() - {intent.server_id})
    if others >= gate.configuration.safety.servers_per_window and not gate.approved:
        gate.refuse(intent, "another server was taken out in this window", alert=True)
        return
    gate.servers.setdefault(intent.server_id, gate.snapshot.now)
    gate.allowed.append(intent)

"""What a decision wants done (spec: gepetto 24.1). Data only; each intent has a key that names it once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Evidence(StrEnum):
    """Why something may end. Words that start with `absent` are absences: they need confirmation by a live read."""

    VALIDATOR_ENDED = "validator_ended"
    JOB_ENDED = "job_ended"
    ROLLING_UPDATE = "rolling_update"
    OPERATOR = "operator"
    NODE_DRAINED = "node_drained"
    POD_FINISHED = "pod_finished"
    START_OVERDUE = "start_overdue"
    STUB_EXPIRED = "stub_expired"
    BOUNTY_LOST = "bounty_lost"
    PREEMPTED = "preempted"
    STRATEGY = "strategy"
    ABSENT_POD = "absent_pod"
    ABSENT_INSTANCE = "absent_instance"
    ABSENT_ROW = "absent_row"

    @property
    def is_absence(self) -> bool:
        return self.value.startswith("absent_")

    @property
    def is_operator_word(self) -> bool:
        """The operator wants it: unpaid copies and budgets do not hold it back."""
        return self in {Evidence.OPERATOR, Evidence.NODE_DRAINED}

    @property
    def is_validator_word(self) -> bool:
        """The validator ended it itself: paid to the end and outside of our budget."""
        return self in {Evidence.VALIDATOR_ENDED, Evidence.JOB_ENDED, Evidence.ROLLING_UPDATE}


@dataclass(frozen=True, slots=True)
class Launch:
    """Start one copy. `value` is its expected income per GPU-hour, in multiplier units."""

    chute_id: str
    version: str
    server_id: str
    gpu_mask: int
    reason: str = "scale"
    value: float = 0.0
    job_id: str | None = None
    disk_gb: int = 10

    @property
    def key(self) -> str:
        return f"launch:{self.chute_id}:{self.server_id}:{self.gpu_mask:x}:{self.job_id or ''}"


@dataclass(frozen=True, slots=True)
class Terminate:
    """End one copy of ours."""

    deployment_id: str
    evidence: Evidence
    reason: str = ""

    @property
    def key(self) -> str:
        return f"terminate:{self.deployment_id}"


@dataclass(frozen=True, slots=True)
class Swap:
    """End some copies and start another on their GPUs: one plan, all of it or nothing. The token comes first."""

    victims: tuple[str, ...]
    launch: Launch
    gain: float = 0.0

    @property
    def key(self) -> str:
        return f"swap:{self.launch.chute_id}:{self.launch.server_id}"


@dataclass(frozen=True, slots=True)
class RemoveOrphan:
    """Remove Kubernetes objects that belong to no row of ours."""

    deployment_id: str
    server_id: str
    evidence: Evidence = Evidence.ABSENT_ROW

    @property
    def key(self) -> str:
        return f"orphan:{self.deployment_id}"


@dataclass(frozen=True, slots=True)
class ForgetInstance:
    """Delete a validator's instance that no row and no pod of ours stands for."""

    instance_id: str
    chute_id: str
    evidence: Evidence = Evidence.ABSENT_ROW

    @property
    def key(self) -> str:
        return f"forget:{self.instance_id}"


@dataclass(frozen=True, slots=True)
class RecordInstance:
    """Write down what the validator says of a copy: never destructive."""

    deployment_id: str
    instance_id: str
    active: bool
    verified: bool

    @property
    def key(self) -> str:
        return f"record:{self.deployment_id}"


@dataclass(frozen=True, slots=True)
class DrainServer:
    """An operator took a server out: end what runs there, then forget it."""

    server_id: str
    evidence: Evidence = Evidence.OPERATOR

    @property
    def key(self) -> str:
        return f"drain:{self.server_id}"


@dataclass(frozen=True, slots=True)
class WarmUp:
    """Pull a chute's image and model onto a server before it is needed."""

    chute_id: str
    server_id: str
    gigabytes: float
    value_per_gb: float = 0.0

    @property
    def key(self) -> str:
        return f"warm:{self.chute_id}:{self.server_id}"


@dataclass(frozen=True, slots=True)
class NoOp:
    """Nothing is done, and this is why."""

    reason: str

    @property
    def key(self) -> str:
        return f"noop:{self.reason}"


Intent = Launch | Terminate | Swap | RemoveOrphan | ForgetInstance | RecordInstance | DrainServer | WarmUp | NoOp

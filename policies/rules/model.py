"""What a rule is and what it says. No rule lives here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a finding weighs. A mandatory one stops a preview."""

    MANDATORY = "mandatory"
    ADVISORY = "advisory"


class Sight(StrEnum):
    """What a rule must see to judge."""

    DECLARED = "declared"  # one machine as its settings say
    FLEET = "fleet"  # all declared machines together
    OBSERVED = "observed"  # what the runner measured on a machine
    KUBERNETES = "kubernetes"  # one Kubernetes resource's inputs
    REGISTRATION = "registration"  # what the chain says of the miner


@dataclass(frozen=True)
class Rule:
    """One rule: `demand` is the sentence for the documentation."""

    name: str
    sight: Sight
    level: Level
    demand: str

    def finding(self, subject: str, seen: str, fix: str, *, level: Level | None = None) -> Finding:
        """A violation by `subject`: what was seen, with figures, and what repairs it."""
        return Finding(rule=self.name, level=level or self.level, subject=subject, seen=seen, fix=fix)


@dataclass(frozen=True)
class Finding:
    """One violation. It never quotes a value that could be a secret."""

    rule: str
    level: Level
    subject: str
    seen: str
    fix: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.seen}; {self.fix} [{self.rule}]"

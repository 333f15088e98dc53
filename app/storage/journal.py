"""Tables of the scheduler, beside the public schema: its journal, its decisions, what it learned from failures.

Public programs never see nor need them. Secrets (launch tokens) are never stored.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, Identity, Integer, func
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.models import Base


class JournalKind(StrEnum):
    LAUNCH = "launch"
    TERMINATE = "terminate"


class JournalStep(StrEnum):
    """How far a plan has come; what a restart finds decides between going on and rolling back."""

    RESERVED = "reserved"
    PERMITTED = "permitted"
    SERVICE = "service"
    LAUNCHED = "launched"
    ROLLING_BACK = "rolling_back"
    DRAINING = "draining"
    UNDEPLOYED = "undeployed"
    ROLLED_BACK = "rolled_back"
    KEPT = "kept"
    ABANDONED = "abandoned"


class JournalEntry(Base):
    """One launch or ending; open until `done_at` is set. At most one open entry per deployment."""

    __tablename__ = "gepetto_journal"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    deployment_id: Mapped[str]
    kind: Mapped[str]
    step: Mapped[str]
    server_id: Mapped[str]
    chute_id: Mapped[str]
    evidence: Mapped[str | None]
    detail: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    done_at: Mapped[datetime | None]


class DecisionRecord(Base):
    """One decision that wanted something: its inputs' fingerprint, its intents, and what the gate held back."""

    __tablename__ = "gepetto_decisions"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    made_at: Mapped[datetime]
    digest: Mapped[str]
    strategy: Mapped[str]
    seconds: Mapped[float]
    body: Mapped[dict[str, object]]


class LaunchFailure(Base):
    """How often launches of a chute on a server failed in a row; server `*` stands for the validator's refusal."""

    __tablename__ = "gepetto_failures"

    chute_id: Mapped[str] = mapped_column(primary_key=True)
    server_id: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(Integer)
    until: Mapped[datetime]
    reason: Mapped[str | None]


class LeaderEpoch(Base):
    """How often the lead has changed hands: one row. A former leader's writes carry an older epoch, and are refused."""

    __tablename__ = "gepetto_leader"

    name: Mapped[str] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(BigInteger)
    taken_at: Mapped[datetime] = mapped_column(server_default=func.now())

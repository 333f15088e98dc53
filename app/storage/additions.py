"""Tables that are ours alone, beside the public schema, so that public programs may go on using their own.

A public program that shares the database never sees nor needs them.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Identity, Integer, LargeBinary, String, func
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.models import Base


class NodeKind(StrEnum):
    """`BARE`: we own host and cluster. `TEE`: a confidential VM that others built (DESIGN D14)."""

    BARE = "bare"
    TEE = "tee"


class IntentKind(StrEnum):
    """What an operator asked for and the scheduler carries out."""

    UNDEPLOY = "undeploy"
    DELETE_SERVER = "delete_server"
    FORGET_SERVER = "forget_server"


class NodeProfile(Base):
    """What we know of a GPU node beyond the public columns.

    `registry_token_sha256` is the digest of the node's registry token (DESIGN D17), never the token;
    `certificate_sha256` pins the attestation proxy's certificate as seen when the node was added.
    """

    __tablename__ = "node_profiles"

    server_id: Mapped[str] = mapped_column(ForeignKey("servers.server_id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(default=NodeKind.TEE.value)
    registry_token_sha256: Mapped[str | None]
    certificate_sha256: Mapped[str | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class GpuClaim(Base):
    """Which deployment held which GPU, when. Written by a trigger on `gpus`; an unreleased claim is unique per GPU."""

    __tablename__ = "gpu_claims"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    gpu_id: Mapped[str]
    deployment_id: Mapped[str]
    claimed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    released_at: Mapped[datetime | None]


class Intent(Base):
    """An operator's request that outlives the process that took it; done once `done_at` is set."""

    __tablename__ = "intents"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    kind: Mapped[str]
    subject: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    done_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    last_error: Mapped[str | None]


class AuditReport(Base):
    """One hourly audit report, committed to the chain at most once (spec: protocol 16)."""

    __tablename__ = "audit_reports"

    bucket_start: Mapped[datetime] = mapped_column(primary_key=True)
    validator: Mapped[str] = mapped_column(String, primary_key=True)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    digest: Mapped[str]
    block: Mapped[int | None] = mapped_column(BigInteger)
    uploaded_at: Mapped[datetime | None]

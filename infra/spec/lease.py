"""The fleet-wide lease for disruptive acts (D16): one machine at a time is drained, restarted or rebooted."""

from __future__ import annotations

from pydantic import Field

from infra.spec.model import AccountName, Model, PublicKey


class LeaseSpec(Model):
    """Where the lease is kept: a file on the control host, reached with the same SSH key as the machine itself.

    Machines without one take no lease: right for a fleet of one.
    """

    host: str = Field(min_length=1, pattern=r"^[A-Za-z0-9.:-]+$")
    port: int = Field(default=22, ge=1, le=65535)
    user: AccountName = "root"
    host_key: PublicKey
    #: How long a machine waits for its turn. A day: a roll-out of a hundred machines takes one after the other, and one
    #: that stands still is frozen within seconds, which ends every wait.
    wait_seconds: int = Field(default=86400, ge=1)
    #: How long chutes may finish by themselves before they are ended.
    drain_seconds: int = Field(default=300, ge=0)

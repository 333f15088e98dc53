"""What all programs of the control cluster are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from infra.components.database_access import DatabaseAccess
from infra.components.miner import Miner
from infra.components.place import Place


@dataclass(frozen=True, kw_only=True)
class ControlProgramArgs:
    """Place, identity, databases. `after` are the Secrets and servers that must be there first."""

    place: Place
    miner: Miner
    database: DatabaseAccess
    #: Address of the monitor as agents on other machines reach it.
    monitor_address: str
    #: Whether a Prometheus of ours asks them for their figures.
    measured: bool
    #: Whether it knows what every chute served. One that does not would let the audit report that nothing was.
    chutes_measured: bool
    after: Sequence[pulumi.Resource]

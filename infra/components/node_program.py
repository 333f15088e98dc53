"""What all programs of a GPU node are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from infra.components.miner import Miner
from infra.components.place import Place
from infra.settings.tree import BareGpuNode, FleetSettings


@dataclass(frozen=True, kw_only=True)
class NodeProgramArgs:
    """Place, identity, the node's entry of the list. `after` must be there first."""

    place: Place
    miner: Miner
    node: BareGpuNode
    settings: FleetSettings
    after: Sequence[pulumi.Resource]

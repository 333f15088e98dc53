"""Where a machine keeps its data (spec: infra 4.5, 17.2)."""

from __future__ import annotations

from pydantic import Field

from infra.spec.model import AbsolutePath, Model


class BindMount(Model):
    """`source`, on the large disk, appears at `target`.

    Data already at `target` is copied to `source` first and compared; the original stays beside it until the
    comparison is clean. Refused where `source` has less than `minimum_free_gib` left after the move.
    """

    source: AbsolutePath
    target: AbsolutePath = "/var/snap"
    minimum_free_gib: int = Field(default=0, ge=0)

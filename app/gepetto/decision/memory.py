"""What one decision leaves for the next: reusable columns, sightings of differences, a strategy's notes. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from app.gepetto.decision.experience import NO_EXPERIENCE, Experience
from app.gepetto.world.columns import Columns

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]


@dataclass(frozen=True, slots=True)
class Sighting:
    """How many complete readings of a source have shown the same difference, and when the last one was made."""

    count: int
    reading_at: float


NO_SIGHTINGS: Final[Mapping[str, Sighting]] = MappingProxyType({})
NO_NOTES: Final[Mapping[str, JsonValue]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Memory:
    """Passed from decision to decision. Losing it costs time and patience, never correctness."""

    columns: Columns | None = field(default=None, repr=False, compare=False)
    sightings: Mapping[str, Sighting] = field(default_factory=lambda: NO_SIGHTINGS)
    notes: Mapping[str, JsonValue] = field(default_factory=lambda: NO_NOTES)
    warmed_at: float = 0.0
    experience: Experience = field(default=NO_EXPERIENCE, repr=False)

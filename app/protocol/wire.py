"""Base of the wire models: frozen, tolerant of fields that appear later, both kinds of timestamp (spec: protocol 21).

Pure: parsing and formatting only.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

#: Ids of the network go into URLs, labels and names: these characters only (spec: protocol 23.2, 20).
SAFE_ID_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,252}$"
_SAFE_ID: Final = re.compile(SAFE_ID_PATTERN)
_VERSION: Final = re.compile(r"^\s*v?(\d+)\.(\d+)\.(\d+)")


class WireModel(BaseModel):
    """A frozen object of the wire; unknown keys are ignored everywhere."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


def to_utc(moment: datetime) -> datetime:
    """The same moment in UTC; a naive one is taken for UTC, which is what the public programs mean."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def safe_id(text: str) -> str:
    """The id itself.

    Raises:
        ValueError: it holds characters that could leave a URL path, a label or an object name.
    """
    if not _SAFE_ID.match(text):
        raise ValueError(f"an id has letters, digits, dots, colons, dashes and underscores only; got {text[:60]!r}")
    return text


def bare_gpu_id(gpu_id: str) -> str:
    """A GPU id as validators write it: 32 hex digits in lower case, no `GPU-`, no dashes."""
    return gpu_id.strip().removeprefix("GPU-").replace("-", "").lower()


def driver_gpu_id(gpu_id: str) -> str:
    """A GPU id as driver and Kubernetes write it: `GPU-` and a dashed UUID. Other forms come back with the prefix."""
    bare = bare_gpu_id(gpu_id)
    if len(bare) != 32:
        return f"GPU-{bare}"
    return f"GPU-{bare[:8]}-{bare[8:12]}-{bare[12:16]}-{bare[16:20]}-{bare[20:]}"


def version_tuple(text: str | None) -> tuple[int, int, int]:
    """The leading X.Y.Z of a version; absent or unreadable is 0.0.0 (spec: protocol 15.1, 18.5)."""
    found = _VERSION.match(text or "")
    return (int(found[1]), int(found[2]), int(found[3])) if found else (0, 0, 0)


def _absent_as_empty(value: object) -> object:
    return "" if value is None else value


#: A moment in UTC, from an ISO text with or without offset.
Moment = Annotated[datetime, AfterValidator(to_utc)]
#: An id that may be put into URLs and labels.
SafeId = Annotated[str, AfterValidator(safe_id)]
#: A text whose absence and null both mean empty.
Text = Annotated[str, BeforeValidator(_absent_as_empty)]

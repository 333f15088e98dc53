"""Snapshots and intents as JSON between Gepetto and the process that runs an operator's file. Nothing is unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import TypeAdapter

from app.gepetto.decision.intents import (
    DrainServer,
    ForgetInstance,
    Intent,
    Launch,
    NoOp,
    RecordInstance,
    RemoveOrphan,
    Swap,
    Terminate,
    WarmUp,
)
from app.gepetto.world.snapshot import Snapshot

_SNAPSHOT: Final = TypeAdapter(Snapshot)
_INTENTS: Final = {
    kind.__name__: TypeAdapter(kind)
    for kind in (
        Launch,
        Terminate,
        Swap,
        RemoveOrphan,
        ForgetInstance,
        RecordInstance,
        DrainServer,
        WarmUp,
        NoOp,
    )
}


def dump_snapshot(snapshot: Snapshot) -> bytes:
    return _SNAPSHOT.dump_json(snapshot, fallback=_plain, warnings=False)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a snapshot holds no {type(value).__name__}")


def load_snapshot(body: bytes) -> Snapshot:
    """A snapshot from its JSON; raises pydantic's ValidationError (a ValueError) for anything else."""
    return _SNAPSHOT.validate_json(body)


def dump_intents(intents: tuple[Intent, ...]) -> list[dict[str, object]]:
    """Intents as plain objects, each with its kind."""
    return [
        {"kind": type(intent).__name__, **_INTENTS[type(intent).__name__].dump_python(intent, mode="json")}
        for intent in intents
    ]


def load_intents(items: list[dict[str, object]]) -> tuple[Intent, ...]:
    """Intents from plain objects.

    Raises:
        ValueError: an unknown kind or a wrong field.
    """
    found: list[Intent] = []
    for item in items:
        kind = str(item.get("kind"))
        if kind not in _INTENTS:
            raise ValueError(f"no intent is called {kind!r}")
        fields = {key: value for key, value in item.items() if key != "kind"}
        found.append(_INTENTS[kind].validate_python(fields, strict=False))  # type: ignore[arg-type]
    return tuple(found)

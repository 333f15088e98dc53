"""Inputs of a Host: what is wrong with them, and which part of them is known. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import JsonValue, ValidationError

from infra.provider.kinds.kind import CheckFailure
from infra.provider.wire import Properties, has_unknown, plain_properties
from infra.spec import HostSpec

#: Inputs that the provider adds: they are no part of the spec.
ADDED: Final = ("deployDigest", "drift")


def spec_properties(inputs: Properties) -> Properties:
    """The part of inputs or outputs that makes a spec, without secret markers."""
    names = {field.alias or name for name, field in HostSpec.model_fields.items()}
    return plain_properties({key: value for key, value in inputs.items() if key in names})


def failures(inputs: Properties) -> Sequence[CheckFailure]:
    """One failure for each bad field. What is still unknown cannot be judged and is let pass."""
    given = plain_properties({key: value for key, value in inputs.items() if key not in ADDED})
    try:
        HostSpec.model_validate(given)
    except ValidationError as error:
        judged = [item for item in error.errors() if not _is_unknown(given, item["loc"])]
        return tuple(CheckFailure(_path(item["loc"]), _reason(item["msg"])) for item in judged)
    return ()


def spec_of(inputs: Properties) -> HostSpec:
    """The spec; all of it must be known.

    Raises:
        pydantic.ValidationError: these inputs were not checked.
    """
    return HostSpec.model_validate(spec_properties(inputs))


def forecast_spec(inputs: Properties) -> tuple[HostSpec | None, tuple[str, ...]]:
    """A spec for a forecast and the inputs that had to be left out of it because they are not known yet.

    Images, registry logins and clusters may be left out; with anything else unknown there is no forecast (None).
    """
    known = spec_properties(inputs)
    left_out = []
    for key in ("images", "registryCredentials", "clusters"):
        if has_unknown(known.get(key)):
            left_out.append(key)
            del known[key]
    if has_unknown(known):
        return None, tuple(left_out)
    return HostSpec.model_validate(known), tuple(left_out)


def _is_unknown(value: JsonValue, location: Sequence[int | str]) -> bool:
    """Whether the place, or something above or below it, is unknown."""
    for step in location:
        if isinstance(value, dict) and step in value:
            value = value[str(step)]
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            break
        if not isinstance(value, dict | list):
            break
    return has_unknown(value)


def _path(location: Sequence[int | str]) -> str:
    path = ""
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    return path.lstrip(".")


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ")

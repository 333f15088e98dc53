"""Small pieces of the provider protocol: errors with details, property differences, refusals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NoReturn, TypeAlias

import grpc
import grpc.aio
from google.protobuf import any_pb2
from pulumi.runtime.proto import provider_pb2, status_pb2

from lab.engine.kubernetes.calls import InitializationError
from lab.engine.kubernetes.changes import Change, PropertyChange
from lab.engine.kubernetes.values import encode

Context: TypeAlias = "grpc.aio.ServicerContext[object, object]"
_LONGEST_MESSAGE: Final = 2000  # characters; consoles and gRPC's trailers want short errors
_LONGEST_REASON: Final = 500
_MOST_REASONS: Final = 8
_KINDS: Final = {
    (Change.ADD, False): provider_pb2.PropertyDiff.ADD,
    (Change.ADD, True): provider_pb2.PropertyDiff.ADD_REPLACE,
    (Change.DELETE, False): provider_pb2.PropertyDiff.DELETE,
    (Change.DELETE, True): provider_pb2.PropertyDiff.DELETE_REPLACE,
    (Change.UPDATE, False): provider_pb2.PropertyDiff.UPDATE,
    (Change.UPDATE, True): provider_pb2.PropertyDiff.UPDATE_REPLACE,
}


async def abort(context: Context, message: str, detail: any_pb2.Any | None = None) -> NoReturn:
    """End a call with an error; all codes are UNKNOWN, as the official provider's."""
    message = shortened(message, _LONGEST_MESSAGE)
    if detail is not None:
        status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=message, details=[detail])
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    await context.abort(grpc.StatusCode.UNKNOWN, message)


def initialization_detail(error: InitializationError) -> any_pb2.Any:
    """What makes the engine keep the state of an object that is there but not as wanted."""
    reasons = [shortened(reason, _LONGEST_REASON) for reason in error.reasons[:_MOST_REASONS]]
    message = provider_pb2.ErrorResourceInitFailed(
        id=error.answer.id,
        properties=encode(error.answer.properties),
        inputs=None if error.keeps_inputs else encode(error.answer.inputs),
        reasons=reasons,
    )
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def shortened(text: str, longest: int) -> str:
    """Text of at most `longest` characters that says when something was left out."""
    return text if len(text) <= longest else f"{text[: longest - 20].rstrip()} ... (shortened)"


def property_diff(change: PropertyChange) -> provider_pb2.PropertyDiff:
    is_removed = change.change is Change.DELETE
    return provider_pb2.PropertyDiff(kind=_KINDS[change.change, change.replaces], inputDiff=is_removed)


def some(is_changed: bool) -> provider_pb2.DiffResponse.DiffChanges.ValueType:
    return provider_pb2.DiffResponse.DIFF_SOME if is_changed else provider_pb2.DiffResponse.DIFF_NONE


def check_failures(failures: Mapping[str, str]) -> list[provider_pb2.CheckFailure]:
    return [provider_pb2.CheckFailure(property=key, reason=reason) for key, reason in failures.items()]

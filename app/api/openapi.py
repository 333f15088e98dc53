"""What the OpenAPI document says of answers that are built without response models, and of the signature headers."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.protocol.signing import Header

ERROR: Final = {"type": "object", "properties": {"detail": {}}, "required": ["detail"]}
_ANY: Final[dict[str, object]] = {"type": "object"}
SERVER: Final[dict[str, object]] = {
    "type": "object",
    "required": ["server_id", "name", "gpu_count", "locked", "gpus", "deployments"],
    "properties": {
        "server_id": {"type": "string"},
        "name": {"type": "string"},
        "ip_address": {"type": "string"},
        "gpu_count": {"type": "integer"},
        "cpu_per_gpu": {"type": "integer"},
        "memory_per_gpu": {"type": "integer", "description": "GiB"},
        "hourly_cost": {"type": "number", "description": "USD per GPU and hour"},
        "locked": {"type": "boolean"},
        "is_tee": {"type": "boolean"},
        "gpus": {"type": "array", "items": _ANY},
        "deployments": {"type": "array", "items": _ANY},
    },
}
SERVERS: Final[dict[str, object]] = {"type": "array", "items": SERVER}
STREAM: Final = "stream"
EMPTY_POST: Final[dict[str, Any]] = {"description": "Mirrors the GET. Sign the digest of the empty body."}
_REASONS: Final = {
    400: "The request cannot work as it is",
    401: "The signature is missing, wrong, too old or used before; the body is always the same",
    403: "Switched off by settings",
    404: "Nothing has this name or id",
    409: "It exists already",
    500: "The validator's side of the request failed",
    502: "The node's agent did not answer",
    503: "Database or Redis are away; the body says which, and Retry-After when to come back",
}
_SIGNED: Final = "The miner's own key, profile B: message `miner:signer:nonce:` and purpose or body digest."


def described(success: dict[str, object] | str | None, *statuses: int) -> dict[int | str, dict[str, Any]]:
    """Responses of a signed route."""
    found: dict[int | str, dict[str, Any]] = {
        status: {"description": _REASONS[status], "content": {"application/json": {"schema": ERROR}}}
        for status in (401, 503, *statuses)
    }
    if success == STREAM:
        text = "One `data: {timestamp, message}` per step; success shows only in the last message"
        found[200] = {"description": text, "content": {"text/event-stream": {"schema": {"type": "string"}}}}
    else:
        schema = success if isinstance(success, dict) else _ANY
        found[200] = {"description": "Done", "content": {"application/json": {"schema": schema}}}
    return found


def install(app: FastAPI, unsigned: frozenset[str]) -> None:
    """Make the document complete: every route outside `unsigned` demands the signature headers."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            names = (Header.MINER, Header.VALIDATOR, Header.NONCE, Header.SIGNATURE)
            schemes = {
                name.value: {"type": "apiKey", "in": "header", "name": name.value, "description": _SIGNED}
                for name in names
            }
            schema.setdefault("components", {})["securitySchemes"] = schemes
            for path, operations in schema["paths"].items():
                for operation in operations.values():
                    if path not in unsigned:
                        operation["security"] = [{name: [] for name in schemes}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]

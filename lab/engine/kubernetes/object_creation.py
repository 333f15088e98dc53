"""Create for plain objects: a POST, tried again while its namespace or definition is still coming."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from lab.engine.kubernetes import writes
from lab.engine.kubernetes.api import Api, ApiError, NoSuchKindError, UnreachableError
from lab.engine.kubernetes.calls import Answer, CreateCall, InitializationError, ProviderError
from lab.engine.kubernetes.conditions import WaitForError
from lab.engine.kubernetes.manifests import (
    PATCH_FORCE,
    Manifest,
    from_properties,
    id_of,
    is_annotated,
    is_custom_resource_definition,
    name_of,
)
from lab.engine.kubernetes.session import Session
from lab.engine.kubernetes.state import State
from lab.engine.kubernetes.values import contains_unknown
from lab.engine.kubernetes.waiting import NotReadyError, until_ready

#: Pauses before each further try, in seconds. Objects of one program come in no fixed order.
_PAUSES_SECONDS: Final = (1, 2, 4, 8, 16)


async def create(session: Session, call: CreateCall) -> Answer:
    """Create an object and wait until it is ready. Its preview is the server's dry run, or an echo without one.

    Raises:
        InitializationError: it was created and did not become ready.
        ProviderError: it was not created.
    """
    if call.is_preview and not await _can_preview(session, call):
        return Answer("", call.inputs)
    api, inputs = session.cluster(), from_properties(call.inputs)
    state = State(inputs, {}, str(inputs.get("apiVersion", "")))
    state = replace(state, manager=state.manager_for(inputs))
    try:
        made = await _made(session, call, inputs, state.manager)
    except (ApiError, NoSuchKindError, UnreachableError) as error:
        if call.is_preview and isinstance(error, ApiError) and _is_no_answer_to_previews(error):
            return Answer("", call.inputs)
        raise ProviderError(_refusal(call.urn.text, error)) from None
    if call.is_preview:
        made = {key: value for key, value in made.items() if key != "status"}
        return Answer("", replace(state, live=made).properties(call.inputs))
    if is_custom_resource_definition(inputs):
        api.forget_kinds()
    live = await _ready(api, call, state, made)
    return Answer(id_of(live), replace(state, live=live).properties(call.inputs))


async def _can_preview(session: Session, call: CreateCall) -> bool:
    """Whether the server can say what would come: it knows the kind, and all inputs are known."""
    inputs = from_properties(call.inputs)
    if session.api is None or contains_unknown(inputs) or call.urn.is_patch_of(inputs):
        return False
    return await session.api.serves(inputs)


async def _made(session: Session, call: CreateCall, inputs: Manifest, manager: str) -> Manifest:
    """What the server answers to the create."""
    api, pauses = session.cluster(), iter(_PAUSES_SECONDS)
    is_apply = call.urn.is_patch_of(inputs) or session.settings.upsert_existing
    force = call.is_preview or session.settings.patch_force or is_annotated(inputs, PATCH_FORCE)
    while True:
        try:
            if is_apply:
                return await writes.apply(
                    api, inputs, name_of(inputs), manager, force=force, is_preview=call.is_preview
                )
            return await writes.create(api, inputs, is_preview=call.is_preview)
        except (ApiError, NoSuchKindError) as error:
            may_come = isinstance(error, NoSuchKindError) or error.is_missing
            pause = next(pauses, None)
            if call.is_preview or not may_come or pause is None:
                raise
            await session.log.status(call.urn.text, f"{error}; tried again in {pause} s")
            await asyncio.sleep(pause)


def _is_no_answer_to_previews(error: ApiError) -> bool:
    """Refusals that say nothing about the later, real create."""
    return (
        error.is_forbidden
        or error.already_exists
        or error.is_missing_namespace
        or "does not support dry run" in str(error)
    )


def _refusal(urn: str, error: Exception) -> str:
    message = f"{urn} was not created: {error}"
    if isinstance(error, ApiError) and error.already_exists:
        return (
            f"{message}. To manage the existing object, `pulumi import` it, declare a Patch resource for some of its "
            "fields, or give a renamed resource an alias"
        )
    if isinstance(error, NoSuchKindError):
        return f"{message}. Is the custom resource definition created before it?"
    return message


async def _ready(api: Api, call: CreateCall, state: State, made: Manifest) -> Manifest:
    try:
        return await until_ready(api, state.inputs, made, call.timeout_seconds)
    except NotReadyError as error:
        seen, reason, details = error.live, str(error), error.details
    except (WaitForError, ApiError, UnreachableError) as error:
        seen, reason, details = made, str(error), ()
    except asyncio.CancelledError:  # the object is there: an answer without its state would orphan it
        seen, reason, details = made, "the wait for it was cancelled", ()
    answer = Answer(id_of(seen), replace(state, live=seen).properties(call.inputs))
    raise InitializationError(f"{call.urn.text} was created, but: {reason}", answer, details)

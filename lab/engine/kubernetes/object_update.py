"""Update for plain objects: a server-side apply by the provider's own field manager."""

from __future__ import annotations

from dataclasses import replace

from lab.engine.kubernetes import writes
from lab.engine.kubernetes.api import Api, ApiError, NoSuchKindError, UnreachableError
from lab.engine.kubernetes.calls import Answer, InitializationError, ProviderError, UpdateCall
from lab.engine.kubernetes.conditions import WaitForError
from lab.engine.kubernetes.managers import was_only_created
from lab.engine.kubernetes.manifests import (
    PATCH_FORCE,
    Manifest,
    api_version,
    from_properties,
    id_of,
    is_annotated,
    is_custom_resource_definition,
    items,
    name_of,
)
from lab.engine.kubernetes.session import Session
from lab.engine.kubernetes.state import State
from lab.engine.kubernetes.values import contains_unknown
from lab.engine.kubernetes.waiting import NotReadyError, until_ready


async def update(session: Session, call: UpdateCall) -> Answer:
    """Bring an object to the new inputs and wait until it is ready. A preview is a dry run, or an echo without one.

    Raises:
        InitializationError: the change was refused, or the object did not become ready; it is kept as it is.
        ProviderError: the object is not there, or the cluster cannot be reached.
    """
    wanted, before = from_properties(call.news), State.parse(call.state)
    if call.is_preview and not await _can_preview(session, wanted):
        return Answer(call.id, call.news)
    api = session.cluster()
    state = State(wanted, {}, before.initial_version or api_version(wanted), before.manager_for(wanted))
    details: tuple[str, ...] = ()
    try:
        live = await _changed(session, call, state, name_of(before.live))
        await _give_up_old_manager(api, call, before, state, live)
        return Answer(call.id, replace(state, live=live).properties(call.news))
    except NotReadyError as error:
        reason, details = str(error), error.details
    except (ApiError, NoSuchKindError, UnreachableError, WaitForError) as error:
        if call.is_preview and isinstance(error, ApiError) and error.is_forbidden:
            return Answer(call.id, call.news)
        reason = _explained(error)
    live = await _still_there(api, call, before, reason)
    answer = Answer(id_of(live), replace(state, live=live).properties(call.news))
    raise InitializationError(f"{id_of(live)} is not as wanted: {reason}", answer, details)


async def _can_preview(session: Session, wanted: Manifest) -> bool:
    return session.api is not None and not contains_unknown(wanted) and await session.api.serves(wanted)


async def _changed(session: Session, call: UpdateCall, state: State, name: str) -> Manifest:
    """The object after the change; for a preview, as the server says it would be."""
    api, wanted = session.cluster(), state.inputs
    is_patch = call.urn.is_patch_of(wanted)
    live = await api.call("GET", (await api.endpoint(wanted)).object(name))
    if is_custom_resource_definition(wanted):
        changed = await writes.replace(api, wanted, live, state.manager, is_preview=call.is_preview)
    else:
        if not is_patch and not call.is_preview:
            live = await writes.take_over(api, live, state.manager)
        force = _takes_all(session, wanted, live, is_preview=call.is_preview)
        sent = writes.without_ignored(wanted, live, call.ignored, state.manager)
        changed = await writes.apply(api, sent, name, state.manager, force=force, is_preview=call.is_preview)
    if call.is_preview:
        return changed
    return await until_ready(api, wanted, changed, call.timeout_seconds)


def _takes_all(session: Session, wanted: Manifest, live: Manifest, *, is_preview: bool) -> bool:
    """Whether conflicts with other managers are overruled. A preview before the first apply cannot tell the
    create's fields from those of others, so it overrules all."""
    if session.settings.patch_force or is_annotated(wanted, PATCH_FORCE):
        return True
    return not items(live, "metadata", "managedFields") or (is_preview and was_only_created(live))


async def _give_up_old_manager(api: Api, call: UpdateCall, before: State, state: State, live: Manifest) -> None:
    if not call.is_preview and before.manager and before.manager != state.manager:
        await writes.relinquish(api, live, before.manager)


def _explained(error: Exception) -> str:
    if isinstance(error, ApiError) and error.is_conflict:
        return (
            f"{error}. Another manager owns these fields: leave them out, ignore their changes, or take them over "
            f'with the annotation {PATCH_FORCE}: "true"'
        )
    return str(error)


async def _still_there(api: Api, call: UpdateCall, before: State, reason: str) -> Manifest:
    """The live object after a failed change; ProviderError if there is none."""
    try:
        where = await api.endpoint(before.live)
        return await api.call("GET", where.object(name_of(before.live)))
    except (ApiError, NoSuchKindError, UnreachableError) as error:
        raise ProviderError(f"{call.urn.text} was not updated: {reason}; it cannot be read: {error}") from None

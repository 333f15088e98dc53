"""Read and Delete for plain objects."""

from __future__ import annotations

from dataclasses import replace

from lab.engine.kubernetes import waiting, writes
from lab.engine.kubernetes.api import Api, ApiError, NoSuchKindError, UnreachableError
from lab.engine.kubernetes.calls import GONE, Answer, DeleteCall, InitializationError, ProviderError, ReadCall
from lab.engine.kubernetes.manifests import (
    SKIP_AWAIT,
    Manifest,
    api_version,
    from_properties,
    id_of,
    is_annotated,
    is_custom_resource_definition,
    kind_of,
    name_of,
    pruned,
    to_properties,
    with_metadata,
)
from lab.engine.kubernetes.session import Session
from lab.engine.kubernetes.state import State
from lab.engine.kubernetes.values import with_secrets_of

_HOW_TO_FORGET = "if it is gone for good, set deleteUnreachable or PULUMI_K8S_DELETE_UNREACHABLE=true and run again"


async def read(session: Session, call: ReadCall) -> Answer:
    """The live object. Its inputs are the kept ones with live values; an import has type, name and namespace alone.

    Raises:
        InitializationError: it is there and not ready.
        ProviderError: it cannot be read.
    """
    if session.api is None:
        return await left_to_the_user(session, call)
    inputs, kept = from_properties(call.inputs), State.parse(call.state)
    is_import = not kind_of(inputs) and not kind_of(kept.live)
    if not kind_of(inputs):
        inputs = _identified(call, inputs, kept)
    try:
        live = await session.api.call("GET", (await session.api.endpoint(inputs)).object(call.id.rpartition("/")[2]))
    except NoSuchKindError:
        return GONE  # its definition went, and took it along
    except ApiError as error:
        if error.is_missing:
            return GONE
        raise ProviderError(f"{call.urn.text} cannot be read: {error}") from None
    except UnreachableError as error:
        raise ProviderError(f"{call.urn.text} cannot be read: {error}") from None
    seen = pruned(live, inputs)
    state = State(seen, live, kept.initial_version or api_version(inputs), kept.manager_for(inputs))
    answer = Answer(call.id, state.properties(call.inputs), with_secrets_of(to_properties(seen), call.inputs))
    if not is_import and not is_annotated(inputs, SKIP_AWAIT):
        await _judge(session.api, live, answer)
    return answer


def _identified(call: ReadCall, inputs: Manifest, kept: State) -> Manifest:
    namespace, _, name = call.id.rpartition("/")
    version = api_version(kept.live) or call.urn.api_version
    typed: Manifest = {**inputs, "apiVersion": version, "kind": kind_of(kept.live) or call.urn.kind}
    return with_metadata(typed, name=name, namespace=namespace or None)


async def _judge(api: Api, live: Manifest, answer: Answer) -> None:
    seen = await waiting.observed(api, live)
    if not seen.is_ready and not seen.suffices:
        reason = f"{id_of(live)} is there, but not ready"
        raise InitializationError(reason, answer, seen.details, keeps_inputs=False)


async def left_to_the_user(session: Session, call: ReadCall) -> Answer:
    """What Read says without a cluster: nothing is gone because it cannot be seen, unless the user said so."""
    await session.log.warning(call.urn.text, f"the Kubernetes cluster cannot be reached: {session.unreachable}")
    if session.settings.delete_unreachable:
        await session.log.info(call.urn.text, "deleteUnreachable is set: the resource is dropped from the state")
        return GONE
    if session.settings.skip_update_unreachable:
        await session.log.info(call.urn.text, "skipUpdateUnreachable is set: the kept state is shown, not the real one")
        return Answer(call.id, call.state, call.inputs)
    raise ProviderError(f"{call.urn.text} cannot be read, its cluster does not answer; {_HOW_TO_FORGET}")


async def delete(session: Session, call: DeleteCall) -> None:
    """Delete an object and wait until it is gone; a patch gives up its fields instead.

    Raises:
        InitializationError: it is still there.
        ProviderError: the cluster refused, or cannot be reached.
    """
    state = State.parse(call.state)
    if session.api is None:
        await _delete_apart(session, call)
        return
    try:
        where = await session.api.endpoint(state.live)
        if call.urn.is_patch_of(state.live):
            await session.api.call("GET", where.object(name_of(state.live)))  # an apply would make a missing object
            await writes.relinquish(session.api, state.live, state.manager)
        else:
            name = call.id.rpartition("/")[2] or name_of(state.live)
            await waiting.delete(session.api, where, name, state.inputs, call.timeout_seconds)
    except NoSuchKindError:
        return
    except waiting.NotReadyError as error:
        answer = Answer(id_of(error.live), replace(state, live=error.live).properties(call.state))
        raise InitializationError(str(error), answer, error.details) from None
    except (ApiError, UnreachableError) as error:
        if isinstance(error, ApiError) and error.is_missing:
            return
        raise ProviderError(f"{call.urn.text} was not deleted: {error}") from None
    if is_custom_resource_definition(state.live):
        session.api.forget_kinds()


async def _delete_apart(session: Session, call: DeleteCall) -> None:
    await session.log.warning(call.urn.text, f"the Kubernetes cluster cannot be reached: {session.unreachable}")
    if not session.settings.delete_unreachable:
        raise ProviderError(f"{call.urn.text} was not deleted, its cluster does not answer; {_HOW_TO_FORGET}")
    await session.log.info(call.urn.text, "deleteUnreachable is set: the resource is dropped from the state")

"""Plain Kubernetes objects and custom resources: what each call of the engine does with them.

Check and Diff decide from data; Create, Update, Read and Delete talk to the cluster.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from lab.engine.kubernetes.api import Api
from lab.engine.kubernetes.calls import (
    Answer,
    CheckCall,
    Checked,
    CreateCall,
    DeleteCall,
    DiffCall,
    Difference,
    ProviderError,
    ReadCall,
    UpdateCall,
)
from lab.engine.kubernetes.changes import Change, Comparison, PropertyChange, contains, merge_patch, parse_path
from lab.engine.kubernetes.kinds import Urn, has_go_type, is_cluster_wide, replacing_fields
from lab.engine.kubernetes.manifests import (
    Manifest,
    api_version,
    from_properties,
    name_of,
    namespace_of,
    pruned,
    text,
    to_properties,
    with_metadata,
)
from lab.engine.kubernetes.naming import NameNeededError, is_autonamed, is_named, named
from lab.engine.kubernetes.normalize import normalized
from lab.engine.kubernetes.object_creation import create
from lab.engine.kubernetes.object_reading import delete, read
from lab.engine.kubernetes.object_update import update
from lab.engine.kubernetes.schema import GroupSchemas
from lab.engine.kubernetes.session import Session
from lab.engine.kubernetes.state import State
from lab.engine.kubernetes.values import with_secrets_of


class PlainObjects:
    """Serves every resource that is one object of the API server."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def check(self, call: CheckCall) -> Checked:
        """Inputs with a name and a namespace, in the form in which the server will give them back."""
        session = self._session
        if session.api is None and session.settings.skip_update_unreachable and call.olds:
            await session.log.warning(
                call.urn.text, "the cluster cannot be reached and skipUpdateUnreachable is set: the change is left out"
            )
            return Checked(call.olds)
        wanted = from_properties(call.news)
        if call.urn.kind.endswith("List") and "items" in wanted:
            raise ProviderError("a list is no resource of its own: declare its items one by one")
        wanted = normalized(wanted, await _schemas(session.api, wanted))
        if call.urn.is_patch_of(wanted) and not is_named(wanted):
            raise ProviderError("a patch needs metadata.name, the name of the object to change")
        try:
            wanted = named(wanted, from_properties(call.olds), call.names)
        except NameNeededError as error:
            raise ProviderError(str(error)) from None
        if not namespace_of(wanted) and await self._has_namespaces(call.urn, wanted):
            wanted = with_metadata(wanted, namespace=session.default_namespace)
        return Checked(with_secrets_of(to_properties(wanted), call.news))

    async def _has_namespaces(self, urn: Urn, wanted: Manifest) -> bool:
        version, kind = api_version(wanted) or urn.api_version, text(wanted, "kind") or urn.kind
        if self._session.api is None or has_go_type(version):
            return not is_cluster_wide(kind)
        return await self._session.api.has_namespaces(version, kind)

    async def diff(self, call: DiffCall) -> Difference:
        """The difference between the live object of the state, as far as it was wanted, and the new inputs.

        Never asks the server: drift comes in through Read, which rewrites the state.
        """
        state, wanted = State.parse(call.state), from_properties(call.news)
        before = pruned(state.live, state.inputs)
        has_namespaces = await self._has_namespaces(call.urn, wanted)
        space = "default" if has_namespaces else None
        before = with_metadata(before, namespace=(namespace_of(before) or space) if has_namespaces else None)
        wanted = with_metadata(wanted, namespace=(namespace_of(wanted) or space) if has_namespaces else None)
        if name_of(wanted):
            before = with_metadata(before, name=name_of(state.live))
        before = _with_type_of(with_metadata(before, resourceVersion=None), wanted)
        comparison = Comparison(self._replacing(call.urn, wanted))
        changes = comparison.changes(merge_patch(before, wanted), before, wanted, before)
        ignored = [parse_path(source) for source in call.ignored]
        kept = {
            path: replace(change, replaces=True) if (path, change.change) == ("metadata", Change.DELETE) else change
            for path, change in changes.items()
            if not any(contains(outer, parse_path(path)) for outer in ignored)
        }
        return Difference(kept, _deletes_first(kept.values(), state.live, wanted))

    def _replacing(self, urn: Urn, wanted: Manifest) -> tuple[str, ...]:
        if urn.is_patch_of(wanted):
            return (".metadata.name", ".metadata.namespace")
        settings = self._session.settings
        return replacing_fields(
            wanted, config_map_mutable=settings.config_map_mutable, secret_mutable=settings.secret_mutable
        )

    async def create(self, call: CreateCall) -> Answer:
        return await create(self._session, call)

    async def update(self, call: UpdateCall) -> Answer:
        return await update(self._session, call)

    async def read(self, call: ReadCall) -> Answer:
        return await read(self._session, call)

    async def delete(self, call: DeleteCall) -> None:
        await delete(self._session, call)


async def _schemas(api: Api | None, wanted: Manifest) -> GroupSchemas | None:
    """The schemas that describe a manifest; None where the cluster cannot be asked or the kind is a custom resource."""
    version = api_version(wanted)
    if api is None or not has_go_type(version):
        return None
    return await api.schemas(version)


def _with_type_of(before: Manifest, wanted: Manifest) -> Manifest:
    """An imported state may lack its type; that is no difference."""
    return before if "kind" in before else {**before, **{k: wanted[k] for k in ("apiVersion", "kind") if k in wanted}}


def _deletes_first(changes: Iterable[PropertyChange], live: Manifest, wanted: Manifest) -> bool:
    """Whether the old object has to go before the new one comes: both would have the same, given name."""
    return (
        any(change.replaces for change in changes)
        and is_named(wanted)
        and not is_autonamed(wanted)
        and (name_of(wanted), namespace_of(wanted)) == (name_of(live), namespace_of(live))
    )

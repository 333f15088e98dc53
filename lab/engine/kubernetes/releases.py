"""Helm releases (`helm.sh/v3:Release`): charts installed by the helm program, looked at through the API server."""

from __future__ import annotations

import asyncio
from typing import Final

import yaml

from lab.engine.kubernetes.api import Api, ApiError, UnreachableError
from lab.engine.kubernetes.calls import (
    GONE,
    Answer,
    CheckCall,
    Checked,
    CreateCall,
    DeleteCall,
    DiffCall,
    Difference,
    InitializationError,
    ProviderError,
    ReadCall,
    UpdateCall,
)
from lab.engine.kubernetes.changes import Comparison, merge_patch
from lab.engine.kubernetes.helm import Helm, HelmError
from lab.engine.kubernetes.manifests import Manifest, text
from lab.engine.kubernetes.object_reading import left_to_the_user
from lab.engine.kubernetes.release_options import Release, ReleaseError, completed, merged_values
from lab.engine.kubernetes.release_record import ReleaseRecord
from lab.engine.kubernetes.session import Session
from lab.engine.kubernetes.values import (
    Properties,
    Secret,
    Unknown,
    contains_unknown,
    plain,
    with_secrets_of,
)

_INPUTS: Final = "__inputs"
_IDENTITY: Final = (".name", ".namespace")


class Releases:
    """Serves releases. Drift of a release's objects is not seen: Helm's own record is what counts."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._helm = Helm(session.access)

    async def check(self, call: CheckCall) -> Checked:
        """All options filled in, and the version of the chart that they choose."""
        if self._session.api is None and self._session.settings.skip_update_unreachable and call.olds:
            await self._session.log.warning(
                call.urn.text, "the cluster cannot be reached and skipUpdateUnreachable is set: the change is left out"
            )
            return Checked(call.olds)
        name = call.news.get("name") or call.olds.get("name") or call.names.make()
        try:
            options = completed({**call.news, "name": name}, self._session.default_namespace)
        except ReleaseError as error:
            raise ProviderError(str(error)) from None
        failures = {}
        if not contains_unknown(options):
            try:
                shown = await Helm().run(Release(_plain(options)).show())
                options["version"] = text(yaml.safe_load(shown), "version")
            except (HelmError, ReleaseError, yaml.YAMLError) as error:
                failures["chart"] = f"{error}; is `chart` right, and the repository?"
        return Checked(with_secrets_of(options, call.news), failures)

    async def diff(self, call: DiffCall) -> Difference:
        """What the new options change in the state; an option that was never given does not count."""
        state, news = _plain(call.state), _plain(call.news)
        old = state.pop(_INPUTS, {})
        old = old if isinstance(old, dict) else {}
        if "version" in call.ignored:
            news["version"] = state.get("version")
        removed = {key: value for key, value in merge_patch(old, news).items() if value is None}
        patch = _without_removals(merge_patch(state, news)) | removed
        changes = Comparison(_IDENTITY).changes(patch, state, news, old)
        return Difference(changes, names=tuple(patch), has_detail=bool(changes))

    async def create(self, call: CreateCall) -> Answer:
        if call.is_preview:
            return Answer("", _forecast(call.inputs))
        api, release = self._cluster(call.urn.text, "created"), Release(_plain(call.inputs))
        problem = await self._tried(release.install(), release)
        record = await self._record(api, release)
        if record is None:
            raise ProviderError(problem or f"helm installed {release.id}, but its record is not there")
        answer = Answer(release.id, _checkpoint(call.inputs, release, record))
        if problem:
            raise InitializationError(f"Helm release {release.id} was created, but: {problem}", answer, ())
        return answer

    async def update(self, call: UpdateCall) -> Answer:
        if call.is_preview:
            return Answer(call.id, _forecast(call.news))
        api, release = self._cluster(call.urn.text, "updated"), Release(_plain(call.news))
        before = await self._record(api, release)
        problem = await self._tried(release.upgrade(), release)
        record = await self._record(api, release)
        if record is None or (problem and before is not None and record.revision == before.revision):
            raise ProviderError(problem or f"the record of {release.id} is not there")
        answer = Answer(call.id, _checkpoint(call.news, release, record))
        if problem:
            raise InitializationError(f"Helm release {release.id} is not as wanted: {problem}", answer, ())
        return answer

    async def read(self, call: ReadCall) -> Answer:
        """The release as Helm has recorded it; an import takes chart, version and values from there."""
        if self._session.api is None:
            return await left_to_the_user(self._session, call)
        inputs = plain_inputs(call.state) or call.inputs
        namespace, _, name = call.id.rpartition("/")
        identity = Release(_plain(call.state) if call.state else {"name": name, "namespace": namespace})
        record = await self._record(self._session.api, identity)
        if record is None:
            return GONE
        if not inputs:
            found: Properties = {"name": name, "namespace": namespace, "chart": record.chart}
            inputs = completed({**found, "values": record.values, "version": record.chart_version}, "default")
        known = Release(_plain({**call.state, **({} if call.state else inputs)}))
        return Answer(call.id, _checkpoint(inputs, known, record), inputs)

    async def delete(self, call: DeleteCall) -> None:
        api, release = self._cluster(call.urn.text, "deleted"), Release(_plain(call.state))
        if await self._record(api, release) is None:
            return
        problem = await self._tried(release.uninstall(), release, has_values=False)
        if problem:
            raise ProviderError(f"Helm release {release.id} was not deleted: {problem}")

    def _cluster(self, urn: str, done: str) -> Api:
        if self._session.api is None:
            raise ProviderError(f"{urn} was not {done}, the cluster cannot be reached: {self._session.unreachable}")
        return self._session.api

    async def _tried(self, arguments: list[str], release: Release, *, has_values: bool = True) -> str:
        """Run helm; what went wrong, or nothing."""
        try:
            if has_values and release.options.get("lint") is True:
                await self._helm.run(["lint", text(release.options, "chart")], release.values)
            values = release.values if has_values else None
            await self._helm.run(arguments, values, timeout_seconds=release.timeout_seconds)
        except (HelmError, ReleaseError) as error:
            return str(error)
        except asyncio.CancelledError:  # what helm has done so far is in its record, and has to be kept
            return "the operation was cancelled"
        return ""

    async def _record(self, api: Api, release: Release) -> ReleaseRecord | None:
        path = f"/api/v1/namespaces/{release.namespace}/secrets"
        try:
            listed = await api.call("GET", path, query={"labelSelector": f"owner=helm,name={release.name}"})
        except (ApiError, UnreachableError) as error:
            raise ProviderError(f"the record of Helm release {release.id} cannot be read: {error}") from None
        return ReleaseRecord.newest(listed)


def plain_inputs(state: Properties) -> Properties:
    """The inputs kept in a state, with the secret marks inside them; empty in no state."""
    kept = state.get(_INPUTS)
    inner = kept.value if isinstance(kept, Secret) else kept
    return inner if isinstance(inner, dict) else {}


def _plain(properties: Properties) -> Manifest:
    return {key: plain(value) for key, value in properties.items()}


def _without_removals(patch: Manifest) -> Manifest:
    """A merge patch that removes nothing: what only the state has was put there by Helm."""
    kept: Manifest = {}
    for key, value in patch.items():
        inner = _without_removals(value) if isinstance(value, dict) else value
        if inner is not None and not (isinstance(value, dict) and value and not inner):
            kept[key] = inner
    return kept


def _checkpoint(inputs: Properties, release: Release, record: ReleaseRecord) -> Properties:
    outputs: Properties = {
        **{key: value for key, value in release.options.items() if key != _INPUTS},
        "values": merged_values(release.values, record.values),
        "version": record.chart_version,
        "resourceNames": record.resource_names(),
        "status": record.status_properties(),
    }
    return {**with_secrets_of(outputs, inputs), _INPUTS: Secret(inputs)}


def _forecast(inputs: Properties) -> Properties:
    return {**inputs, _INPUTS: Secret(inputs), "resourceNames": Unknown(), "status": Unknown()}

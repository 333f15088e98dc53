"""`headframe:index:Host`: a machine. Diff never looks at it; Read does, and reports what it lacks as drift (D2, D7)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from pydantic import JsonValue

from infra.provider.children import Children
from infra.provider.diff import Change, Difference, differences
from infra.provider.digest import deploy_digest
from infra.provider.kinds import host_import
from infra.provider.kinds.host_facts import settled_facts
from infra.provider.kinds.host_inputs import failures, forecast_spec, spec_of
from infra.provider.kinds.host_run import HostRun, run_host
from infra.provider.kinds.kind import Call, CheckFailure, Diff, PartialStateError, ProviderError, ReadResult
from infra.provider.options import Options
from infra.provider.wire import UNKNOWN, Properties, plain, secret
from infra.spec import HostRole, HostSpec, HostState, OnDelete, Verb
from infra.spec.kubeconfig import public_kubeconfig

_LOOK_SECONDS: Final = 300.0
_CHANGE_SECONDS: Final = 3600.0
_OBSERVED: Final = ("kubeconfig", "facts", "machineId", "reachable")
#: Inputs that concern the provider alone: changing them touches no machine, so they can be changed for a dead one.
_OUR_OWN: Final = frozenset({"onDelete", "state", "connectTimeoutSeconds", "lease"})
#: Where an image's archive lies, and its bytes, are the building machine's; its reference alone says what it is (D9).
_OF_THE_BUILDER: Final = re.compile(r"images\[\d+\]\.(path|sha256)")
_VERBS: Final = {OnDelete.STOP: Verb.STOP, OnDelete.WIPE: Verb.WIPE}


class HostResource:
    """Serves hosts by running the host runner, one process a call."""

    type: str = "headframe:index:Host"
    refresh_before_update: bool = True

    def __init__(self, options: Options, children: Children) -> None:
        self._options = options
        self._children = children

    def check(self, olds: Properties, news: Properties) -> tuple[Properties, Sequence[CheckFailure]]:
        """`drift: []` is the wish that Diff holds against what Read saw; the digest makes edited deploys a change."""
        del olds
        wish: Properties = {**news, "drift": [], "deployDigest": deploy_digest()}
        for key in _OBSERVED:
            wish.pop(key, None)
        return wish, failures(wish)

    def diff(self, old_inputs: Properties, old_outputs: Properties, news: Properties) -> Diff:
        """Inputs against inputs, and drift that was seen. Another address is the same machine; only another name is
        another machine."""
        found = [
            Difference(item.path, item.change, replaces=item.path == "name")
            for item in differences(old_inputs, news)
            if item.path.partition("[")[0] != "drift" and not _OF_THE_BUILDER.fullmatch(item.path)
        ]
        if old_outputs.get("drift"):
            found.append(Difference("drift", Change.UPDATE, from_state=True))
        return Diff(tuple(found), delete_before_replace=True)

    async def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        """Make the machine what its spec says."""
        if call.preview:
            await self._forecast(call, inputs)
            return "", {**inputs, **dict.fromkeys(_OBSERVED, UNKNOWN)}
        spec = spec_of(inputs)
        return spec.name, await self._apply(call, spec.name, inputs, {})

    async def update(self, call: Call, id: str, old_outputs: Properties, news: Properties) -> Properties:  # noqa: A002
        """As create; what was known of the machine stays known."""
        if _touches_no_machine(old_outputs, news):
            return {**news, **_carried(old_outputs, news), "drift": old_outputs.get("drift", [])}
        if call.preview:
            await self._forecast(call, news)
            return {**news, **_carried(old_outputs, news), "drift": []}
        return await self._apply(call, id, news, old_outputs)

    async def read(self, call: Call, id: str, inputs: Properties, outputs: Properties) -> ReadResult:  # noqa: A002
        """Look at the machine. One that does not answer keeps its state and gets a warning: an empty id would build it
        anew, and an error would fail everybody's run."""
        if not outputs:
            return await self._import(call, id)
        if not self._options.refresh_hosts:
            return ReadResult(id, inputs, outputs)
        spec = spec_of(inputs or outputs)
        limit = call.timeout_seconds or _LOOK_SECONDS
        run = await run_host(self._children, call.log, Verb.PLAN, spec, limit, quiet=True)
        if run.error is not None:
            what = "does not answer" if run.is_unreachable else "cannot be read"
            await call.log.warning(f"{spec.name} {what}: {run.error.message}. Its last known state is kept.")
            return ReadResult(id, inputs, {**outputs, "reachable": not run.is_unreachable})
        await _warn_of_stranger(call, spec, run, outputs)
        if run.plan is not None and run.plan.refused_because:
            await call.log.warning(f"changes would be refused: {'; '.join(run.plan.refused_because)}")
        seen: Properties = {**outputs, **_observed(spec, run, outputs), "drift": list(run.unfinished)}
        return ReadResult(id, inputs, seen)

    async def _import(self, call: Call, import_id: str) -> ReadResult:
        inputs = host_import.begin(import_id)
        spec = spec_of(inputs)
        run = await run_host(self._children, call.log, Verb.PLAN, spec, call.timeout_seconds or _LOOK_SECONDS)
        if run.error is not None:
            raise ProviderError(f"cannot import {spec.name}: {run.error.message}")
        role = HostRole.GPU if run.facts and run.facts.gpus else HostRole.CONTROL
        inputs = {**inputs, "role": role.value, "drift": []}
        return ReadResult(spec.name, inputs, {**inputs, **_observed(spec, run, {})})

    async def delete(self, call: Call, id: str, outputs: Properties) -> None:  # noqa: A002
        """As `onDelete` in the state says. A machine that does not answer is an error unless it is to be forgotten."""
        spec = spec_of(outputs)
        if spec.on_delete is OnDelete.FORGET:
            await call.log.info(f"{id} is forgotten; nothing on the machine was touched")
            return
        verb = _VERBS[spec.on_delete]
        run = await run_host(self._children, call.log, verb, spec, call.timeout_seconds or _CHANGE_SECONDS)
        if run.error is not None:
            raise ProviderError(
                f"{id} could not be left clean ({spec.on_delete}): {run.error.message}. If the machine is gone, "
                "set `onDelete: forget` for it, run `pulumi up`, then remove it"
            )

    async def _forecast(self, call: Call, inputs: Properties) -> None:
        """Say what would run. A machine that breaks a mandatory rule stops the preview, as it would stop the update."""
        spec, left_out = forecast_spec(inputs)
        if spec is None:
            await call.log.info("no forecast: some of its settings are known only after other resources exist")
            return
        run = await run_host(self._children, call.log, Verb.PLAN, spec, call.timeout_seconds or _LOOK_SECONDS)
        if run.error is not None:
            await call.log.warning(f"no forecast for {spec.name}: {run.error.message}")
        elif run.plan is not None:
            rest = f" (not yet known: {', '.join(left_out)})" if left_out else ""
            await call.log.info(f"{run.plan.summary()}{rest}")
            if run.plan.refused_because:
                raise ProviderError("; ".join(run.plan.refused_because))

    async def _apply(self, call: Call, id: str, inputs: Properties, old_outputs: Properties) -> Properties:  # noqa: A002
        spec = spec_of(inputs)
        run = await run_host(self._children, call.log, Verb.APPLY, spec, call.timeout_seconds or _CHANGE_SECONDS)
        outputs: Properties = {**inputs, **_observed(spec, run, old_outputs), "drift": list(run.unfinished)}
        if run.error is None:
            if run.result is not None and run.result.changed:
                await call.log.info(f"changed: {', '.join(run.result.changed)}")
            return {**outputs, "drift": []}
        if spec.state is HostState.DRAINED and run.is_unreachable and old_outputs:
            await call.log.warning(f"{spec.name} is drained and does not answer: its settings are kept for its return")
            return {**outputs, "drift": [], "reachable": False}
        if not run.began_to_change:
            raise ProviderError(run.error.message)
        raise PartialStateError([run.error.message], outputs, id)


def _observed(spec: HostSpec, run: HostRun, old: Properties) -> Properties:
    """Outputs that come from the machine; what this run did not see stays as it was known."""
    kubeconfig: JsonValue = old.get("kubeconfig", secret(""))
    if run.result is not None and run.result.kubeconfig is not None:
        kubeconfig = secret(run.result.kubeconfig.get_secret_value())
    elif spec.k3s is None:
        kubeconfig = secret("")
    if run.facts is None:
        return {**_carried(old, {}), "kubeconfig": kubeconfig, "reachable": not run.is_unreachable}
    facts = settled_facts(old.get("facts"), run.facts.model_dump(mode="json", by_alias=True, exclude_none=True))
    return {"kubeconfig": kubeconfig, "facts": facts, "machineId": run.facts.machine_id or "", "reachable": True}


def _carried(old: Properties, news: Properties) -> Properties:
    """Observed outputs of before. The kubeconfig gets the new address at once, so that previews of what runs on the
    cluster stay whole and nothing on it is replaced (D4)."""
    carried: Properties = {key: old[key] for key in _OBSERVED if key in old}
    text = plain(carried.get("kubeconfig"))
    spec, _ = forecast_spec(news) if news else (None, ())
    if spec is not None and isinstance(text, str) and text and text != UNKNOWN:
        carried["kubeconfig"] = secret(public_kubeconfig(text, spec.name, spec.public_address))
    return carried


def _touches_no_machine(old: Properties, news: Properties) -> bool:
    """Whether nothing is to be done on the machine: what changed is the provider's own business, or the machine is
    dead and only our deploys are newer (what it lacks shows as drift when it is back)."""
    was = {key: old[key] for key in old if key not in _OBSERVED}
    changed = {item.path.partition(".")[0].partition("[")[0] for item in differences(was, news)} - {"drift"}
    if old.get("reachable") is False:
        return bool(changed) and changed <= _OUR_OWN | {"deployDigest"}
    return bool(changed) and changed <= _OUR_OWN and not old.get("drift")


async def _warn_of_stranger(call: Call, spec: HostSpec, run: HostRun, outputs: Properties) -> None:
    known, seen = outputs.get("machineId"), run.facts.machine_id if run.facts else None
    if known and seen and known != seen:
        await call.log.warning(
            f"another machine answers at {spec.host}: machine-id {seen}, known was {known}. It was reinstalled or "
            "exchanged; what it lacks shows as drift"
        )

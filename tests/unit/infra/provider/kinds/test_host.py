"""The Host kind with a scripted runner: what each end of a run becomes for the engine."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from infra.provider.children import Children, Ended
from infra.provider.kinds.host import HostResource
from infra.provider.kinds.kind import Call, PartialStateError, ProviderError
from infra.provider.log import EngineLog, ResourceLog
from infra.provider.options import Options
from infra.provider.wire import UNKNOWN, Properties, plain, secret
from infra.spec import (
    BinarySource,
    Connected,
    ErrorEvent,
    ErrorKind,
    Event,
    FactsEvent,
    HostFacts,
    HostSpec,
    K3sSpec,
    LogEvent,
    LogLevel,
    OperationEvent,
    OperationState,
    Plan,
    PlanEvent,
    PlannedOperation,
    ResultEvent,
    Verb,
)
from tests.support.specs import host_spec, key_pair

KUBECONFIG = "{clusters: [{cluster: {server: x}}], users: [{user: {client-key-data: marker}}]}"
FACTS = FactsEvent(facts=HostFacts(machine_id="m1", cores=4))
K3S = K3sSpec(version="v1.33.1+k3s1", source=BinarySource(url="file:///opt/k3s"))


def planned(*names: str) -> PlanEvent:
    return PlanEvent(plan=Plan(operations=tuple(PlannedOperation(name=name, would_change=True) for name in names)))


def operation(name: str, state: OperationState) -> OperationEvent:
    return OperationEvent(number=1, total=2, name=name, state=state)


def error(kind: ErrorKind, message: str) -> ErrorEvent:
    return ErrorEvent(kind=kind, message=message, output="what it printed")


class ScriptedChildren(Children):
    """Answers every run with the same events."""

    def __init__(self, *events: Event, status: int = 0) -> None:
        super().__init__(at_once=1)
        self.events = events
        self.status = status
        self.verbs: list[Verb] = []

    async def run(
        self, verb: Verb, spec: HostSpec, on_event: Callable[[Event], Awaitable[None]], timeout_seconds: float
    ) -> Ended:
        self.verbs.append(verb)
        for event in self.events:
            await on_event(event)
        return Ended(self.status, "stderr")


def host(*events: Event, status: int = 0, refresh: bool = True) -> tuple[HostResource, ScriptedChildren]:
    children = ScriptedChildren(*events, status=status)
    return HostResource(Options(refresh_hosts=refresh), children), children


def call(*, preview: bool = False) -> Call:
    return Call("urn", "gpu-0", ResourceLog(EngineLog(""), "urn"), preview=preview)


def inputs(**changes: object) -> Properties:
    given: Properties = json.loads(host_spec(k3s=K3S).to_json())
    return {**given, "privateKey": secret(given["privateKey"]), "drift": [], "deployDigest": "d", **changes}  # type: ignore[dict-item]


async def test_a_good_run_becomes_outputs() -> None:
    resource, _ = host(
        Connected(seconds=0), FACTS, planned("a"), ResultEvent(changed=("a",), kubeconfig="k", seconds=1)
    )
    name, outputs = await resource.create(call(), inputs())
    assert name == "gpu-0"
    assert (outputs["machineId"], outputs["reachable"], outputs["drift"]) == ("m1", True, [])
    assert outputs["kubeconfig"] == secret("k")


async def test_a_run_that_failed_in_the_middle_is_recorded_with_what_is_missing() -> None:
    resource, _ = host(
        FACTS,
        planned("a", "b", "c"),
        operation("a", OperationState.STARTED),
        operation("a", OperationState.CHANGED),
        operation("b", OperationState.STARTED),
        operation("b", OperationState.FAILED),
        error(ErrorKind.OPERATION_FAILED, "b: disk full"),
        status=3,
    )
    with pytest.raises(PartialStateError, match="disk full") as failed:
        await resource.create(call(), inputs())
    assert failed.value.outputs["drift"] == ["b", "c"]
    assert failed.value.id == "gpu-0"


async def test_a_killed_runner_is_recorded_with_where_it_was() -> None:
    resource, _ = host(FACTS, planned("a"), operation("a", OperationState.STARTED), status=-9)
    with pytest.raises(PartialStateError, match="ended by signal 9 in `a`"):
        await resource.create(call(), inputs())


async def test_a_run_that_changed_nothing_records_nothing() -> None:
    resource, _ = host(error(ErrorKind.CANNOT_CONNECT, "no route"), status=2)
    with pytest.raises(ProviderError, match="no route"):
        await resource.create(call(), inputs())


async def test_a_preview_of_a_new_host_has_unknown_outputs() -> None:
    resource, children = host(FACTS, planned("a"), ResultEvent(seconds=1))
    _, outputs = await resource.create(call(preview=True), inputs())
    assert outputs["kubeconfig"] == outputs["facts"] == UNKNOWN
    assert children.verbs == [Verb.PLAN]


BROKEN = "gpu-0: it runs debian 12; install ubuntu 22.04 [os-ubuntu-2204]"


def refused(*names: str) -> PlanEvent:
    """A plan of a machine that breaks a rule."""
    return PlanEvent(plan=planned(*names).plan.model_copy(update={"refused_because": (BROKEN,)}))


async def test_a_machine_that_breaks_a_rule_stops_the_preview_that_would_change_it() -> None:
    resource, _ = host(FACTS, refused("a"), ResultEvent(seconds=1))
    with pytest.raises(ProviderError, match="os-ubuntu-2204"):
        await resource.create(call(preview=True), inputs())
    with pytest.raises(ProviderError, match="os-ubuntu-2204"):
        await resource.update(call(preview=True), "gpu-0", {**inputs(), "reachable": True}, inputs(port=2222))


async def test_a_machine_that_breaks_a_rule_and_is_not_to_be_changed_is_only_spoken_of(
    capsys: pytest.CaptureFixture[str],
) -> None:
    resource, children = host(FACTS, refused(), ResultEvent(seconds=1))
    found = await resource.read(call(), "gpu-0", inputs(), inputs())
    assert found.outputs["drift"] == []
    assert "changes would be refused: gpu-0: it runs debian 12" in capsys.readouterr().err
    await resource.update(call(preview=True), "gpu-0", {**inputs(), "reachable": True}, inputs(onDelete="forget"))
    assert children.verbs == [Verb.PLAN]


async def test_a_preview_of_a_changed_address_keeps_the_kubeconfig_with_the_new_address() -> None:
    resource, _ = host(FACTS, planned(), ResultEvent(seconds=1))
    old = {**inputs(), "kubeconfig": secret(KUBECONFIG), "reachable": True}
    outputs = await resource.update(call(preview=True), "gpu-0", old, inputs(host="198.51.100.9"))
    assert "https://198.51.100.9:6443" in str(plain(outputs["kubeconfig"]))


def test_another_cache_folder_is_no_change_and_another_image_is_one() -> None:
    resource, _ = host()
    old = inputs(images=[{"reference": "localhost/a:1", "path": "/home/one/a.tar", "sha256": "a" * 64}])
    moved = inputs(images=[{"reference": "localhost/a:1", "path": "/home/two/a.tar"}])
    newer = inputs(images=[{"reference": "localhost/a:2", "path": "/home/two/a.tar"}])
    assert resource.diff(old, old, moved).differences == ()
    assert [item.path for item in resource.diff(old, old, newer).differences] == ["images[0].reference"]


async def test_what_concerns_only_us_touches_no_machine() -> None:
    resource, children = host()
    old: Properties = {**inputs(), "reachable": True, "facts": {"cores": 4}}
    outputs = await resource.update(call(), "gpu-0", old, inputs(onDelete="forget"))
    assert children.verbs == []
    assert (outputs["onDelete"], outputs["facts"]) == ("forget", {"cores": 4})


async def test_a_dead_machine_may_wait_for_newer_deploys() -> None:
    resource, children = host()
    await resource.update(call(), "gpu-0", {**inputs(), "reachable": False}, inputs(deployDigest="newer"))
    assert children.verbs == []
    resource, children = host(FACTS, planned(), ResultEvent(seconds=1))
    await resource.update(call(), "gpu-0", {**inputs(), "reachable": True}, inputs(deployDigest="newer"))
    assert children.verbs == [Verb.APPLY]


async def test_a_drained_machine_that_is_dead_fails_nobody() -> None:
    resource, _ = host(error(ErrorKind.CANNOT_CONNECT, "no route"), status=2)
    drained = inputs(state="drained", port=2222)
    outputs = await resource.update(call(), "gpu-0", {**inputs(), "facts": {"cores": 4}}, drained)
    assert (outputs["reachable"], outputs["drift"], outputs["facts"]) == (False, [], {"cores": 4})


async def test_a_read_reports_drift_and_a_machine_that_was_exchanged(capsys: pytest.CaptureFixture[str]) -> None:
    resource, _ = host(FACTS, planned("a"), LogEvent(level=LogLevel.INFO, message="a remark"), ResultEvent(seconds=1))
    found = await resource.read(call(), "gpu-0", inputs(), {**inputs(), "machineId": "m0"})
    assert found.outputs["drift"] == ["a"]
    said = capsys.readouterr().err
    assert "another machine answers" in said
    assert "a remark" not in said


async def test_a_read_with_the_switch_off_looks_at_nothing() -> None:
    resource, children = host(refresh=False)
    found = await resource.read(call(), "gpu-0", inputs(), inputs())
    assert children.verbs == []
    assert found.outputs == inputs()


async def test_a_machine_leaves_as_its_state_says() -> None:
    for on_delete, verbs in (("forget", []), ("stop", [Verb.STOP]), ("wipe", [Verb.WIPE])):
        resource, children = host(ResultEvent(seconds=1))
        await resource.delete(call(), "gpu-0", inputs(onDelete=on_delete))
        assert children.verbs == verbs


async def test_a_timeout_names_where_it_was() -> None:
    class Slow(ScriptedChildren):
        async def run(
            self, verb: Verb, spec: HostSpec, on_event: Callable[[Event], Awaitable[None]], timeout_seconds: float
        ) -> Ended:
            await on_event(planned("a"))
            await on_event(operation("a", OperationState.STARTED))
            raise TimeoutError

    resource = HostResource(Options(), Slow())
    with pytest.raises(PartialStateError, match="stopped after 3600 s in `a`"):
        await resource.create(call(), inputs())


def test_another_name_is_another_machine_and_another_address_is_not() -> None:
    resource, _ = host()
    found = {item.path: item.replaces for item in resource.diff(inputs(), {}, inputs(name="x", port=1)).differences}
    assert found == {"name": True, "port": False}


def test_what_read_saw_is_a_difference_against_the_wish() -> None:
    resource, _ = host()
    diff = resource.diff(inputs(), {"drift": ["a"]}, inputs())
    assert [(item.path, item.from_state) for item in diff.differences] == [("drift", True)]


async def test_an_import_reads_the_machine_and_guesses_its_role(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text(key_pair()[0])
    monkeypatch.setenv("HEADFRAME_IMPORT_KEY", str(tmp_path / "key"))
    monkeypatch.setenv("HEADFRAME_IMPORT_HOST_KEY", key_pair()[1])
    resource, _ = host(FACTS, planned(), ResultEvent(seconds=1))
    found = await resource.read(call(), "root@203.0.113.7:2222/gpu-0", {}, {})
    assert (found.id, found.inputs["port"], found.inputs["role"]) == ("gpu-0", 2222, "control")


@pytest.mark.parametrize("import_id", ["gpu-0", "root@203.0.113.7/gpu-0"])
async def test_an_import_that_says_too_little_is_told_what_is_wanted(
    import_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HEADFRAME_IMPORT_KEY", raising=False)
    with pytest.raises(ProviderError, match="HEADFRAME_IMPORT_KEY"):
        await host()[0].read(call(), import_id, {}, {})

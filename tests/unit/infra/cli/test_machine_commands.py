"""The commands for acts: what they refuse, in which order they act, and what they say when they stop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from infra.cli import acts, machine_commands
from infra.cli.acts import in_turn
from infra.cli.app import app
from infra.cli.engine import Engine
from infra.cli.placement import Locked, LockOptions, NoLock, PlacementError
from infra.provider.children import Children, Ended
from infra.spec import (
    ErrorEvent,
    ErrorKind,
    Event,
    HostRole,
    HostSpec,
    LeaseSpec,
    LogEvent,
    LogLevel,
    OperationEvent,
    OperationState,
    ResultEvent,
    Verb,
)
from tests.support.specs import host_spec, key_pair

LEASE = LeaseSpec(host="203.0.113.9", host_key=key_pair()[1])
MACHINES = (
    host_spec(name="gpu-1", host="203.0.113.1", lease=LEASE),
    host_spec(name="gpu-2", host="203.0.113.2", lease=LEASE),
    host_spec(name="control", host="203.0.113.9", role=HostRole.CONTROL, lease=LEASE),
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Verb and machine of every run; gpu-2 fails a reboot."""
    seen: list[tuple[str, str]] = []

    async def run(
        self: Children, verb: Verb, spec: HostSpec, on_event: Callable[[Event], Awaitable[None]], timeout_seconds: float
    ) -> Ended:
        seen.append((verb.value, spec.name))
        await on_event(OperationEvent(number=1, total=1, name=f"act | {verb}", state=OperationState.STARTED))
        await on_event(LogEvent(level=LogLevel.INFO, message="has the lease"))
        if verb is Verb.REBOOT and spec.name == "gpu-2":
            await on_event(ErrorEvent(kind=ErrorKind.OPERATION_FAILED, message="did not come back"))
            return Ended(3, "")
        if verb is Verb.OPEN:
            return Ended(-9, "killed")
        await on_event(ResultEvent(seconds=1))
        return Ended(0, "")

    monkeypatch.setattr(Children, "run", run)
    monkeypatch.setattr(machine_commands, "machines_of", lambda engine: MACHINES)
    return seen


def command(*words: str) -> int:
    """The exit status of a command that tells no miner API."""
    lockless = () if words[0] in ("free-lease", "upgrade") else ("--without-lock",)
    return int(app([*words, *lockless], exit_on_error=False, result_action="return_value"))


def test_machines_are_acted_on_one_after_the_other(asked: list[tuple[str, str]]) -> None:
    assert command("restart", "--all") == 0
    assert asked == [("restart", "gpu-1"), ("restart", "gpu-2"), ("restart", "control")]


def test_the_first_failure_stops_the_rest_and_says_how_to_go_on(
    asked: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("reboot", "--all") == 1
    assert asked == [("reboot", "gpu-1"), ("reboot", "gpu-2")]
    said = capsys.readouterr().err
    assert "stopped: gpu-2: did not come back" in said
    assert "done: gpu-1; go on with: headframe reboot gpu-2 control" in said


def test_a_runner_without_a_last_word_is_a_failure(
    asked: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("open", "gpu-1") == 1
    assert "ended with -9 and no last word" in capsys.readouterr().err


def test_no_machine_is_meant_by_nothing(asked: list[tuple[str, str]]) -> None:
    assert command("drain") == 1
    assert asked == []


def test_a_reset_wants_the_name_twice(asked: list[tuple[str, str]]) -> None:
    assert command("reset", "gpu-1", "--confirm", "gpu-2") == 1
    assert asked == []
    assert command("reset", "gpu-1", "--confirm", "gpu-1") == 0
    assert asked == [("wipe", "gpu-1")]


def test_the_lease_is_freed_where_it_is_kept(asked: list[tuple[str, str]]) -> None:
    assert command("free-lease") == 0
    assert asked == [("recover", "control")]


def test_an_upgrade_sets_the_version_and_then_runs_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, ...]] = []

    def call(self: Engine, *words: str) -> int:
        calls.append(words)
        return 0

    monkeypatch.setattr(Engine, "quietly", call)
    monkeypatch.setattr(Engine, "visibly", call)
    assert command("upgrade", "k3s", "v1.34.1+k3s1", "--source", "https://example.org/k3s", "--sha256", "a" * 64) == 0
    assert calls[-1] == ("up",)
    assert ("config", "set", "--path", "kubernetes.version", "v1.34.1+k3s1") in calls
    assert ("config", "set", "--path", "kubernetes.sha256", "a" * 64) in calls


async def test_no_machine_is_begun_after_the_budget(asked: list[tuple[str, str]]) -> None:
    times = iter([0.0, 30.0, 61.0])
    report = await in_turn(
        Verb.REBOOT,
        MACHINES[:1] + MACHINES[2:],
        print,
        placement=NoLock(),
        budget_seconds=20,
        clock=lambda: next(times),
    )
    assert (report.done, report.left, report.failure) == (("gpu-1",), ("control",), "the time budget is spent")
    assert acts.Report((), ("a", "b")).resume_with("reboot") == "headframe reboot a b"


class Told:
    """A miner API that remembers what it was told; gpu-2 was locked before, gpu-9 is not known."""

    def __init__(self, *, answers: bool = True) -> None:
        self.seen: list[str] = []
        self.answers = answers

    def stop(self, node: str) -> Locked:
        if not self.answers:
            raise PlacementError("the miner API does not answer")
        self.seen.append(f"stop {node}")
        return {"gpu-2": Locked.BEFORE, "gpu-9": Locked.UNKNOWN_SERVER}.get(node, Locked.NOW)

    def resume(self, node: str) -> None:
        if not self.answers:
            raise PlacementError("the miner API does not answer")
        self.seen.append(f"resume {node}")


async def test_placing_stops_before_a_disruption_and_goes_on_after_it(asked: list[tuple[str, str]]) -> None:
    told = Told()
    report = await in_turn(Verb.RESTART, MACHINES, print, placement=told)
    assert report.failure is None
    assert told.seen == ["stop gpu-1", "resume gpu-1", "stop gpu-2"]  # the control host is no server


async def test_a_failed_act_leaves_the_node_locked(asked: list[tuple[str, str]]) -> None:
    told = Told()
    renamed = MACHINES[1].model_copy(update={"name": "gpu-2"})
    assert (await in_turn(Verb.REBOOT, (renamed,), print, placement=told)).failure is not None
    assert told.seen == ["stop gpu-2"]


async def test_a_drained_node_stays_locked_and_an_opened_one_does_not(asked: list[tuple[str, str]]) -> None:
    told = Told()
    unknown = MACHINES[0].model_copy(update={"name": "gpu-9"})
    await in_turn(Verb.DRAIN, (MACHINES[0], unknown), print, placement=told)
    assert told.seen == ["stop gpu-1", "stop gpu-9"]


async def test_nothing_is_disrupted_while_the_miner_api_does_not_answer(asked: list[tuple[str, str]]) -> None:
    report = await in_turn(Verb.REBOOT, MACHINES, print, placement=Told(answers=False))
    assert report.failure == "gpu-1: the miner API does not answer"
    assert asked == []


def test_without_a_key_nothing_is_done_unless_asked_for(
    asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HOTKEY", raising=False)
    assert app(["reboot", "gpu-1"], exit_on_error=False, result_action="return_value") == 1
    assert "--without-lock" in capsys.readouterr().err
    assert asked == []
    with pytest.raises(PlacementError, match="no control host"):
        LockOptions(hotkey=Path("key")).placement(MACHINES[:1])

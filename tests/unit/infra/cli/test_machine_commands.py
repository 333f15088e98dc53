"""The commands for acts: what they refuse, in which order they act, and what they say when they stop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from infra.cli import machine_commands
from infra.cli.acts import in_turn
from infra.cli.app import app, run
from infra.cli.engine import Engine, EngineError
from infra.cli.machine_commands import UNLOCKED, Wanted
from infra.cli.placement import Locked, LockOptions, NoLock, PlacementError
from infra.cli.stack_file import settings_of
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
from tests.support.settings import fleet
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

    async def act(
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

    monkeypatch.setattr(Children, "run", act)
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
    assert "done: gpu-1; go on with: headframe reboot gpu-2 control --without-lock" in said


def test_a_runner_without_a_last_word_is_a_failure(
    asked: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("open", "gpu-1") == 1
    assert "ended with -9 and no last word" in capsys.readouterr().err


def test_no_machine_is_meant_by_nothing(asked: list[tuple[str, str]]) -> None:
    assert command("drain") == 1
    assert asked == []


def test_a_reset_wants_the_name_twice_and_forgets_what_stood_there(
    asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("reset", "gpu-1", "--confirm", "gpu-2") == 1
    assert asked == []
    monkeypatch.setattr(machine_commands, "forget_cluster", lambda engine, node: 7)
    assert command("reset", "gpu-1", "--confirm", "gpu-1") == 0
    assert asked == [("wipe", "gpu-1")]
    assert "7 objects of its cluster are gone" in capsys.readouterr().out


def test_a_reset_whose_state_cannot_be_written_says_how_to_go_on(
    asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def forget(engine: Engine, node: str) -> int:
        raise EngineError("the stack is locked")

    monkeypatch.setattr(machine_commands, "forget_cluster", forget)
    assert command("reset", "gpu-1", "--confirm", "gpu-1") == 1
    said = capsys.readouterr().err
    assert "gpu-1 is wiped, but the state still holds what stood there: the stack is locked" in said
    assert "go on with: headframe reset gpu-1 --confirm gpu-1 --without-lock" in said


def test_the_lease_is_freed_where_it_is_kept(asked: list[tuple[str, str]]) -> None:
    assert command("free-lease") == 0
    assert asked == [("recover", "control")]


@pytest.mark.parametrize(
    ("wanted", "go_on"),
    [
        (Wanted(Verb.WIPE, "reset", ("gpu-1",), stack="prod"), "headframe reset gpu-1 --confirm gpu-1 --stack prod"),
        (Wanted(Verb.RECOVER, "free-lease", lock=UNLOCKED, keeper_only=True), "headframe free-lease"),
        (
            Wanted(Verb.DRAIN, "drain", lock=LockOptions(hotkey=Path("a key"), miner_api="http://x")),
            "headframe drain gpu-1 --hotkey 'a key' --miner-api http://x",
        ),
    ],
)
def test_the_command_that_goes_on_can_be_typed_as_it_is(wanted: Wanted, go_on: str) -> None:
    assert wanted.go_on(("gpu-1",)) == go_on


@pytest.fixture
def upgraded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a stack that has a checksum; the engine writes its arguments into `asked` beside it."""
    file = tmp_path / "Pulumi.lab.yaml"
    values = {f"headframe:{key}": value for key, value in fleet().items()}
    values["headframe:kubernetes"] = {
        "version": "v1.33.1+k3s1", "source": "https://example.org/old", "sha256": "b" * 64,
    }  # fmt: skip
    file.write_text(json.dumps({"config": values}))
    monkeypatch.setenv("PULUMI_OPTION_CONFIG_FILE", str(file))
    monkeypatch.setattr(Engine, "stack_name", lambda self: "lab")
    monkeypatch.setattr(Engine, "visibly", lambda self, *words: (tmp_path / "asked").write_text(" ".join(words)) * 0)
    return file


def test_an_upgrade_sets_the_version_and_then_runs_the_engine(upgraded: Path) -> None:
    assert command("upgrade", "k3s", "v1.34.1+k3s1", "--source", "https://example.org/k3s", "--sha256", "a" * 64) == 0
    assert (upgraded.parent / "asked").read_text() == "up"
    kubernetes = settings_of(upgraded.read_text())["kubernetes"]
    assert kubernetes == {"version": "v1.34.1+k3s1", "source": "https://example.org/k3s", "sha256": "a" * 64}


def test_an_upgrade_never_keeps_the_checksum_of_another_binary(
    upgraded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = upgraded.read_text()
    assert run(["upgrade", "k3s", "v1.34.1+k3s1", "--source", "https://example.org/k3s"]) == 1
    assert "sha256" in capsys.readouterr().err
    assert upgraded.read_text() == before
    assert not (upgraded.parent / "asked").exists()
    assert run(["upgrade", "k3s", "v1.34.1+k3s1", "--source", "file:///opt/k3s"]) == 0
    assert settings_of(upgraded.read_text())["kubernetes"] == {"version": "v1.34.1+k3s1", "source": "file:///opt/k3s"}


async def test_an_interrupted_act_says_in_which_state_the_machine_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, said = asyncio.Event(), list[str]()

    async def never_ends(*given: object) -> Ended:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(Children, "run", never_ends)
    acting = asyncio.create_task(in_turn(Verb.REBOOT, MACHINES[:1], said.append, placement=NoLock()))
    await begun.wait()
    acting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await acting
    assert "headframe open gpu-1" in said[-1]


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


async def test_a_node_that_was_reset_is_said_to_earn_nothing_until_it_is_opened(asked: list[tuple[str, str]]) -> None:
    said: list[str] = []
    assert (await in_turn(Verb.WIPE, MACHINES[:1], said.append, placement=Told())).failure is None
    assert said[-1].endswith("headframe up, headframe open gpu-1")


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

"""Rule 18 and modes 1 and 2: operators' files in processes of their own (spec: gepetto 24.7, 27)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI, Response

from app.gepetto import cli
from app.gepetto.compose import full_file_of
from app.gepetto.deciders import ShadowDecider
from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.decide import decide
from app.gepetto.decision.intents import Intent, Launch
from app.gepetto.decision.memory import Memory
from app.gepetto.files.inspect import bundled_snapshot, check, compare_intents, diff
from app.gepetto.files.recognise import FileMode, UnrecognisedError, recognise
from app.gepetto.files.runner import FileDecider, FileFaultError, Limits
from app.gepetto.files.shadow import shadow as run_shadow
from app.gepetto.files.wire import dump_intents, dump_snapshot, load_intents, load_snapshot
from app.gepetto.world.snapshot import Snapshot
from tests.support.gepetto import make_chute, make_server, make_snapshot
from tests.support.serving import serving

pytestmark = pytest.mark.service
EXAMPLES = Path("docs/strategies")
WORLD = make_snapshot((make_server(0), make_server(1, hourly_cost=5.0)), (make_chute(0), make_chute(1, public=False)))
#: Long enough for a busy machine: what else a file does wrong shows long before.
LIMITS = Limits(start_seconds=60, decision_seconds=60)
#: For a file that never comes back.
IMPATIENT = Limits(start_seconds=60, decision_seconds=3)
Maker = Callable[..., FileDecider]


@pytest.fixture
async def decider(tmp_path: Path) -> AsyncIterator[Maker]:
    made: list[FileDecider] = []
    faults: list[str] = []

    def make(source: str, *, fail_stop: bool = False, limits: Limits = LIMITS) -> FileDecider:
        path = tmp_path / "gepetto.py"
        path.write_text(source)
        made.append(FileDecider(path, limits, lambda kind, _: faults.append(kind), fail_stop=fail_stop))
        made[-1].faults = faults  # type: ignore[attr-defined]
        return made[-1]

    yield make
    for one in made:
        await one.stop()


def default() -> tuple[Intent, ...]:
    return decide(WORLD, Configuration(), Memory())[0]


def launches(intents: tuple[Intent, ...]) -> list[Launch]:
    return [intent for intent in intents if isinstance(intent, Launch)]


def test_27_17_the_three_kinds_are_told_apart_without_running_anything() -> None:
    assert recognise((EXAMPLES / "weighted.py").read_text()).mode is FileMode.STRATEGY
    assert recognise((EXAMPLES / "pure_function.py").read_text()).mode is FileMode.STRATEGY
    subclass = recognise((EXAMPLES / "upstream_style.py").read_text())
    assert (subclass.mode, subclass.hooks) == (FileMode.SUBCLASS, ("optimal_scale_up_server", "bounty_changed"))
    assert recognise("class Gepetto:\n    async def run(self): ...").mode is FileMode.FULL
    for text in ("def broken(", "x = 1", "\0"):
        with pytest.raises(UnrecognisedError):
            recognise(text)


def test_27_17_a_complete_public_file_is_found_and_a_broken_one_is_none(tmp_path: Path) -> None:
    path = tmp_path / "gepetto.py"
    assert full_file_of(path) is None
    path.write_text("class Gepetto:\n    async def run(self): ...")
    assert full_file_of(path) == path
    path.write_text("class Gepetto(")
    assert full_file_of(path) is None


@pytest.mark.parametrize("name", ["weighted", "pure_function", "upstream_style"])
async def test_27_17_every_example_decides(name: str, decider: Maker) -> None:
    file = decider((EXAMPLES / f"{name}.py").read_text())
    intents = await file.decide(WORLD, Configuration())
    assert not file.is_fallback
    (launch, *_) = launches(intents)
    assert launch.server_id == ("server-001" if name == "upstream_style" else "server-000")


BASE = "from headframe.strategy import DefaultStrategy\nclass Strategy(DefaultStrategy):\n"
BROKEN = {
    "syntax error": ("class Strategy(", "syntax"),
    "import error": ("import nothing_of_this_name\nclass Strategy: ...", "load"),
    "no strategy": ("class Strategy: ...", "load"),
    "endless loop in a hook": (
        BASE + "    def plan(self, ctx):\n        while True: pass\n",
        "timeout",
    ),
    "exception in a hook": (
        BASE + "    def score(self, ctx, chute, server):\n        raise RuntimeError('as told')\n",
        "exception",
    ),
    "memory hog": (
        BASE + "    def plan(self, ctx):\n        return [bytearray(1 << 34)]\n",
        "memory",
    ),
    "ends the process": (
        "import os\n" + BASE + "    def plan(self, ctx):\n        os._exit(3)\n",
        "exit",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_27_18_a_broken_file_falls_back_to_the_default_with_a_signal(name: str, decider: Maker) -> None:
    source, kind = BROKEN[name]
    file = decider(source, limits=IMPATIENT if kind == "timeout" else LIMITS)
    assert await file.decide(WORLD, Configuration()) == default()
    assert file.is_fallback
    assert file.faults == [kind]  # type: ignore[attr-defined]


async def test_27_18_a_repaired_file_is_loaded_without_a_restart_and_a_changed_one_replaces_it(decider: Maker) -> None:
    file, recoveries = decider("class Strategy("), list[str]()
    file._on_recovery = lambda: recoveries.append(file.name)
    await file.decide(WORLD, Configuration())
    assert recoveries == []
    file.path.write_text((EXAMPLES / "weighted.py").read_text())
    await file.decide(WORLD, Configuration())
    await file.decide(WORLD, Configuration())
    assert len(recoveries) == 1
    assert file.name == "file gepetto.py"
    file.path.write_text((EXAMPLES / "upstream_style.py").read_text())
    assert launches(await file.decide(WORLD, Configuration()))[0].server_id == "server-001"
    file.path.unlink()
    assert await file.decide(WORLD, Configuration()) == default()


async def test_27_18_fail_stop_raises_instead(tmp_path: Path) -> None:
    file = FileDecider(tmp_path / "absent.py", LIMITS, lambda *_: None, fail_stop=True)
    with pytest.raises(FileFaultError, match="does not exist"):
        await file.decide(WORLD, Configuration())


async def test_a_shadow_is_heard_and_does_not_act(decider: Maker) -> None:
    heard: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    shadow = decider((EXAMPLES / "upstream_style.py").read_text())
    both = ShadowDecider(shadow, lambda a, b: heard.append((a, b)))
    assert await both.decide(WORLD, Configuration()) == default()
    assert len(heard) == 1


async def test_the_shadow_command_shows_what_a_file_would_do_on_the_live_fleet(
    capsys: pytest.CaptureFixture[str],
) -> None:
    app = FastAPI()
    seen = [0]

    @app.get("/snapshot")
    async def snapshot() -> Response:
        seen[0] += 1
        return Response(dump_snapshot(replace(WORLD, now=WORLD.now + seen[0] // 2)))  # the second is the first again

    async with serving(app) as url:
        code = await asyncio.to_thread(cli.shadow, EXAMPLES / "upstream_style.py", url=url, looks=2, pause_seconds=0.01)
    out = capsys.readouterr().out
    assert code == 0
    assert out.count(" in common") == 2
    assert "\n- launch:" in out
    assert "\n+ launch:" in out
    assert await asyncio.to_thread(cli.shadow, EXAMPLES / "weighted.py", url=url, looks=1) == 1
    assert "is it the leader" in capsys.readouterr().err


async def test_a_shadow_file_that_fails_is_told_and_ends(tmp_path: Path) -> None:
    async def read() -> Snapshot:
        return WORLD

    broken = tmp_path / "gepetto.py"
    broken.write_text("import nothing_of_this_name\nclass Strategy: ...")
    with pytest.raises(FileFaultError):
        await anext(run_shadow(broken, read, Configuration(), limits=LIMITS))


async def test_check_and_diff_tell_what_a_file_would_do() -> None:
    good = await check(EXAMPLES / "weighted.py", LIMITS)
    assert [finding.ok for finding in good] == [True, True, True]
    assert not (await check(EXAMPLES / "absent.py", LIMITS))[0].ok
    found = await diff(None, EXAMPLES / "upstream_style.py", WORLD, Configuration(), LIMITS)
    assert found.only_first != ()
    assert found.only_second != ()


def test_the_commands_print_their_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "gepetto.py"
    broken.write_text("import nothing_of_this_name\nclass Strategy: ...")
    assert cli.check(broken) == 1
    assert "FAILED load" in capsys.readouterr().out
    world = tmp_path / "snapshot.json"
    world.write_bytes(dump_snapshot(WORLD))
    assert cli.diff(EXAMPLES / "weighted.py", snapshot=world) == 0
    assert "in common" in capsys.readouterr().out
    assert cli.diff(broken, snapshot=world) == 1


def test_snapshots_and_intents_survive_their_journey() -> None:
    assert load_snapshot(dump_snapshot(WORLD)) == WORLD
    assert load_intents(dump_intents(default())) == default()
    with pytest.raises(ValueError, match="no intent"):
        load_intents([{"kind": "Nonsense"}])
    assert compare_intents(default(), ()).only_second == ()
    assert isinstance(bundled_snapshot(hours=1.0), Snapshot)
    assert asyncio.iscoroutinefunction(check)

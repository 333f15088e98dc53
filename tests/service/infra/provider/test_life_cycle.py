"""Hosts through the real protocol, a real provider process, a real runner and a real sshd."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from pulumi.runtime.proto import engine_pb2

from infra.provider.wire import UNKNOWN, Properties, is_secret, secret
from tests.support.processes import arguments_of, children_of, environment_of
from tests.support.provider import CallFailed, SmallEngine
from tests.support.waiting import until

pytestmark = pytest.mark.service
Inputs = Callable[..., Properties]


def info(engine: SmallEngine) -> list[str]:
    """What stays in the log, without the count of this machine's own pending security updates."""
    lasting = [line.message for line in engine.log.lines if not line.ephemeral]
    return [message for message in lasting if "security updates are pending" not in message]


async def test_a_preview_of_a_new_host_forecasts_and_changes_nothing(
    engine: SmallEngine, inputs: Inputs, tmp_path: Path
) -> None:
    assert await engine.preview({"gpu-0": inputs(a="one")}) == {"gpu-0": ["create"]}
    assert info(engine) == [f"would run 1 of 2 operations: base | file {tmp_path}/gpu-0/a"]
    assert not (tmp_path / "gpu-0").exists()


async def test_a_host_is_made_and_then_nothing_changes(engine: SmallEngine, inputs: Inputs, tmp_path: Path) -> None:
    wanted = {"gpu-0": inputs(a="one", b="two"), "gpu-1": inputs("gpu-1", a="one")}
    await engine.up(wanted)
    assert (tmp_path / "gpu-0" / "a").read_text() == "one\n"
    outputs = engine.state["gpu-0"].outputs
    assert (outputs["reachable"], outputs["drift"]) == (True, [])
    assert is_secret(outputs["kubeconfig"])
    assert is_secret(outputs["privateKey"])
    assert outputs["machineId"]
    assert await engine.preview(wanted) == {"gpu-0": [], "gpu-1": []}
    assert await engine.up(wanted) == {"gpu-0": [], "gpu-1": []}


async def test_progress_is_ephemeral_and_the_result_is_not(engine: SmallEngine, inputs: Inputs, tmp_path: Path) -> None:
    await engine.up({"gpu-0": inputs(a="one")})
    fleeting = [line.message for line in engine.log.lines if line.ephemeral]
    assert fleeting == [f"[1/2] base | file {tmp_path}/gpu-0/a", "[2/2] firewall | none of ours"]
    assert info(engine) == [f"changed: base | file {tmp_path}/gpu-0/a"]


async def test_drift_is_named_on_its_host_alone_and_repaired(
    engine: SmallEngine, inputs: Inputs, tmp_path: Path
) -> None:
    wanted = {"gpu-0": inputs(a="one", b="two"), "gpu-1": inputs("gpu-1", a="one")}
    await engine.up(wanted)
    edited = tmp_path / "gpu-0" / "b"
    edited.write_text("edited")
    assert await engine.preview(wanted) == {"gpu-0": ["drift"], "gpu-1": []}
    assert engine.state["gpu-0"].outputs["drift"] == [f"base | file {edited}"]
    await engine.up(wanted)
    assert edited.read_text() == "two\n"
    assert await engine.preview(wanted) == {"gpu-0": [], "gpu-1": []}


async def test_a_changed_input_shows_its_name(engine: SmallEngine, inputs: Inputs, tmp_path: Path) -> None:
    await engine.up({"gpu-0": inputs(a="one")})
    assert await engine.up({"gpu-0": inputs(a="changed")}) == {"gpu-0": ["base"]}
    assert (tmp_path / "gpu-0" / "a").read_text() == "changed\n"


async def test_a_half_made_host_is_recorded_and_finished_by_the_next_run(
    engine: SmallEngine, inputs: Inputs, tmp_path: Path
) -> None:
    (tmp_path / "gpu-0").mkdir()
    (tmp_path / "gpu-0" / "b").mkdir()
    (tmp_path / "gpu-0" / "b" / "in-the-way").touch()
    wanted = {"gpu-0": inputs(a="one", b="two", c="three")}
    with pytest.raises(ExceptionGroup) as failed:
        await engine.up(wanted)
    (failure,) = failed.value.exceptions
    assert isinstance(failure, CallFailed)
    assert failure.partial
    names = [f"base | file {tmp_path}/gpu-0/{name}" for name in ("b", "c")]
    assert engine.state["gpu-0"].outputs["drift"] == names
    await engine.refresh()  # forgets init errors; what is missing must still be known
    assert engine.state["gpu-0"].outputs["drift"] == names
    (tmp_path / "gpu-0" / "b" / "in-the-way").unlink()
    (tmp_path / "gpu-0" / "b").rmdir()
    await engine.up(wanted)
    assert (tmp_path / "gpu-0" / "c").read_text() == "three\n"
    assert await engine.preview(wanted) == {"gpu-0": []}


async def test_an_unreachable_new_host_fails_and_the_others_finish(engine: SmallEngine, inputs: Inputs) -> None:
    wanted = {"gpu-0": inputs(a="one"), "dead": inputs("dead", changes={"port": 1}, a="one")}
    with pytest.raises(ExceptionGroup) as failed:
        await engine.up(wanted)
    assert [str(failure)[:25] for failure in failed.value.exceptions] == ["dead does not take SSH: C"]
    assert engine.state.keys() == {"gpu-0"}


async def test_a_dead_host_keeps_its_state_with_a_warning_and_nothing_changes(
    engine: SmallEngine, inputs: Inputs
) -> None:
    wanted = {"gpu-0": inputs(a="one")}
    await engine.up(wanted)
    state = engine.state["gpu-0"]
    dead = {**state.inputs, "port": 1}
    engine.state["gpu-0"].inputs = dead
    engine.state["gpu-0"].outputs = {**state.outputs, "port": 1}
    assert await engine.up({"gpu-0": inputs(changes={"port": 1}, a="one")}) == {"gpu-0": []}
    after = engine.state["gpu-0"].outputs
    assert after["reachable"] is False
    assert after["facts"] == state.outputs["facts"]
    warnings = [line.message for line in engine.log.lines if line.severity == engine_pb2.WARNING]
    assert "gpu-0 does not answer" in warnings[-1]


async def test_a_dead_host_can_be_declared_forgotten_and_then_removed(engine: SmallEngine, inputs: Inputs) -> None:
    await engine.up({"gpu-0": inputs(changes={"onDelete": "stop"}, a="one")})
    for side in (engine.state["gpu-0"].inputs, engine.state["gpu-0"].outputs):
        side["port"] = 1
    with pytest.raises(CallFailed, match="onDelete: forget"):
        await engine.up({})
    await engine.up({"gpu-0": inputs(changes={"onDelete": "forget", "port": 1}, a="one")})
    await engine.up({})
    assert engine.state == {}


async def test_a_changed_address_is_an_update_and_never_a_replacement(engine: SmallEngine, inputs: Inputs) -> None:
    await engine.up({"gpu-0": inputs(a="one")})
    steps = await engine.up({"gpu-0": inputs(changes={"host": "localhost"}, a="one")})
    assert steps == {"gpu-0": ["host"]}


async def test_bad_inputs_are_told_one_by_one(engine: SmallEngine, inputs: Inputs) -> None:
    answer = await engine.check("gpu-0", inputs(changes={"port": 0, "role": "king"}, a="one"))
    assert {failure.property for failure in answer.failures} == {"port", "role"}


async def test_what_is_not_known_yet_stops_no_preview(engine: SmallEngine, inputs: Inputs) -> None:
    unknown = inputs(changes={"privateKey": secret(UNKNOWN)}, a="one")
    assert await engine.preview({"gpu-0": unknown}) == {"gpu-0": ["create"]}
    assert info(engine) == ["no forecast: some of its settings are known only after other resources exist"]


async def test_with_the_switch_off_no_machine_is_looked_at(inputs: Inputs, tmp_path: Path) -> None:
    async with SmallEngine(environment={"HEADFRAME_REFRESH_HOSTS": "false"}) as engine:
        wanted = {"gpu-0": inputs(a="one")}
        await engine.up(wanted)
        (tmp_path / "gpu-0" / "a").write_text("edited")
        assert await engine.preview(wanted) == {"gpu-0": []}


async def test_no_secret_is_in_the_arguments_or_the_environment_of_a_child(inputs: Inputs) -> None:
    async with SmallEngine(environment={"PULUMI_CONFIG_PASSPHRASE": "marker-passphrase"}) as engine:
        running = asyncio.create_task(engine.preview({"gpu-0": inputs(a="one")}))
        await until(lambda: any("infra.hosts" in arguments_of(child) for child in children_of(engine.process.pid)))
        seen = [arguments_of(child) + environment_of(child) for child in children_of(engine.process.pid)]
        await running
    assert "PRIVATE KEY" not in str(seen)
    assert "marker-passphrase" not in str(seen)

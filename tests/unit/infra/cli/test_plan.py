"""`headframe plan HOST`: whose declaration is taken, and what is said where there is no plan."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from infra.cli import plan as planning
from infra.cli.app import app
from infra.cli.engine import Engine
from infra.cli.plan import NoPlanError, declared_spec, machine_of
from infra.provider.children import Children, Ended
from infra.settings import FleetSettings
from infra.spec import (
    ErrorEvent,
    ErrorKind,
    Event,
    HostRole,
    HostSpec,
    LogEvent,
    LogLevel,
    Plan,
    PlanEvent,
    PlannedOperation,
    Verb,
)
from tests.support.settings import fleet, gpu_node
from tests.support.specs import key_pair

TEE = {"name": "tee-0", "kind": "tee", "address": "9.0.0.13", "gpu": "h200", "gpu_count": 8, "hourly_cost_usd": 24}
LOGIN = {
    "version": "v1.33.4+k3s1",
    "source": "file:///k",
    "registry_login": {"registry": "docker.io", "username": "me"},
}


class Kept(Engine):
    """An engine with one stack whose state is empty and whose secrets are known."""

    def quietly(self, *arguments: str, stdin: str = "") -> str:
        return {"ssh_private_key": key_pair()[0], "registry_password": "word\n"}.get(
            arguments[-1], '{"deployment": {}}'
        )

    def stack_name(self) -> str:
        return "test"


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    file = tmp_path / "Pulumi.test.yaml"
    text = io.StringIO()
    values = fleet(kubernetes=LOGIN)
    YAML(typ="safe").dump({"config": {f"headframe:{key}": value for key, value in values.items()}}, text)
    file.write_text(text.getvalue())
    engine = Kept(environment={"PULUMI_OPTION_CONFIG_FILE": str(file)})
    monkeypatch.setattr(planning, "Engine", lambda stack=None: engine)
    return engine


def test_each_machine_has_its_declaration_and_a_confidential_one_has_none() -> None:
    settings = FleetSettings.model_validate(fleet(gpu_nodes=[gpu_node("gpu-0", "9.0.0.11"), TEE]))
    assert machine_of(settings, "control").role is HostRole.CONTROL
    assert machine_of(settings, "gpu-0").role is HostRole.GPU
    with pytest.raises(NoPlanError, match="never entered"):
        machine_of(settings, "tee-0")
    with pytest.raises(NoPlanError, match="it has control, gpu-0, tee-0"):
        machine_of(settings, "gpu-9")


def test_the_spec_has_the_stacks_secrets(engine: Engine) -> None:
    spec = declared_spec(engine, "gpu-0")
    assert spec.private_key.get_secret_value() == key_pair()[0]
    assert spec.registry_credentials[0].password.get_secret_value() == "word"


def test_the_plan_is_shown_or_the_reason_why_there_is_none(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: list[Event] = []

    async def run(
        self: Children, verb: Verb, spec: HostSpec, on_event: Callable[[Event], Awaitable[None]], timeout_seconds: float
    ) -> Ended:
        assert verb is Verb.PLAN
        if not answers:
            raise TimeoutError
        for event in answers:
            await on_event(event)
        return Ended(2 if isinstance(answers[-1], ErrorEvent) else 0, "")

    def type_in(*words: str) -> int:
        return int(app(["plan", *words], exit_on_error=False, result_action="return_value"))

    monkeypatch.setattr(Children, "run", run)
    assert type_in("gpu-0") == 1
    assert "could not be read within" in capsys.readouterr().err
    operations = (PlannedOperation(name="a | b", would_change=True), PlannedOperation(name="c | d", would_change=False))
    answers[:] = [PlanEvent(plan=Plan(operations=operations)), LogEvent(level=LogLevel.INFO, message="mind")]
    assert type_in("gpu-0") == 0
    assert capsys.readouterr().out.splitlines() == [
        "~ a | b", "  c | d", "note: mind", "gpu-0: 1 of 2 operations would change something"
    ]  # fmt: skip
    answers[:] = [PlanEvent(plan=Plan(operations=operations, refused_because=("gpu-0: it runs arch",)))]
    assert type_in("gpu-0") == 0
    assert "refused: gpu-0: it runs arch" in capsys.readouterr().out
    assert type_in("gpu-0", "--json") == 0
    assert '"wouldChange": true' in capsys.readouterr().out
    answers[:] = [ErrorEvent(kind=ErrorKind.CANNOT_CONNECT, message="gpu-0 does not take SSH")]
    assert type_in("gpu-0") == 1
    assert "does not take SSH" in capsys.readouterr().err


def test_mistakes_of_the_stack_file_come_first(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(engine.environment["PULUMI_OPTION_CONFIG_FILE"])
    path.write_text("config:\n  headframe:miner: {}\n")
    assert app(["plan", "gpu-0"], exit_on_error=False, result_action="return_value") == 1
    assert "has mistakes" in capsys.readouterr().err

"""The doctor's checks, and the commands as an operator types them, with a stack file of the test."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from infra.cli import doctor
from infra.cli.app import app
from infra.cli.doctor import Check, Verdict
from infra.cli.engine import Engine, engine_environment
from infra.cli.stack_commands import inventory_of
from infra.spec import HostRole, HostSpec
from tests.support.settings import HOST_KEY, fleet


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A valid stack file that the commands take for the selected stack's."""
    text = io.StringIO()
    config: dict[str, object] = {f"headframe:{key}": value for key, value in fleet().items()}
    config |= {f"headframe:{key}": {"secure": "v1:x"} for key in ("ssh_private_key", "hotkey_seed")}
    YAML(typ="safe").dump({"config": config}, text)
    file = tmp_path / "Pulumi.test.yaml"
    file.write_text(text.getvalue())
    monkeypatch.setenv("PULUMI_OPTION_CONFIG_FILE", str(file))
    monkeypatch.setattr(Engine, "stack_name", lambda self: "test")
    return file


def type_in(*words: str) -> int:
    """The exit status of one command."""
    try:
        answer = app(list(words), exit_on_error=False)
    except SystemExit as ended:
        answer = ended.code
    assert isinstance(answer, int)
    return answer


def test_the_worst_check_is_the_exit_status() -> None:
    checks = [Check("a", Verdict.OK, "fine"), Check("b", Verdict.WARN, "so", "do")]
    assert doctor.worst(checks) is Verdict.WARN
    assert doctor.worst([]) is Verdict.OK
    assert json.loads(doctor.as_json(checks))["verdict"] == "warn"
    assert json.loads(doctor.as_json(checks))["checks"][1]["fix"] == "do"


def test_builders_of_images_are_needed_only_where_images_travel_as_archives() -> None:
    missing = {check.name for check in doctor.tools({}, lambda _: None) if check.verdict is Verdict.FAIL}
    assert missing == {"program pulumi", "program buildah", "program mmdebstrap"}
    some = doctor.tools({"images": {"delivery": "registry"}}, lambda program: f"/bin/{program}")
    assert [check.verdict for check in some] == [Verdict.OK, Verdict.OK]


def test_a_stack_file_is_judged_whole(path: Path, tmp_path: Path) -> None:
    assert [check.verdict for check in doctor.stack_settings(path)] == [Verdict.OK]
    path.write_text("config: {}\n")
    found = doctor.stack_settings(path)
    assert {check.verdict for check in found} == {Verdict.FAIL}
    assert {"secret ssh_private_key", "secret hotkey_seed"} <= {check.name for check in found}
    assert doctor.stack_settings(tmp_path / "none.yaml")[0].fix == "headframe init"


def test_real_gpus_of_bare_nodes_need_the_cuda_library_in_the_image(tmp_path: Path) -> None:
    library = tmp_path / "libogv.so"
    simulated, tee = {"name": "s", "simulated_gpus": True}, {"name": "t", "kind": "tee"}
    assert doctor.gpu_proof({}, library) == doctor.gpu_proof({"gpu_nodes": [simulated, tee]}, library) == []
    settings: dict[str, object] = {"gpu_nodes": [simulated, {"name": "gpu-1", "kind": "bare"}, {"name": "gpu-2"}, tee]}
    (missing,) = doctor.gpu_proof(settings, library)
    assert (missing.verdict, missing.fix) == (Verdict.WARN, "make cuda-library")
    assert "gpu-1, gpu-2" in missing.seen
    library.touch()
    assert [check.verdict for check in doctor.gpu_proof(settings, library)] == [Verdict.OK]


async def test_a_machine_that_does_not_answer_is_a_warning() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        ssh = {"host": "127.0.0.1", "port": port}
        settings: dict[str, object] = {
            "control": {"name": "control", "address": "127.0.0.1", "ssh": ssh},
            "gpu_nodes": [{"name": "gpu-0", "address": "127.0.0.1", "ssh": {"port": 9}}, {"name": "tee-0"}],
        }
        found = await doctor.machines(settings)
    assert [(check.name, check.verdict) for check in found] == [
        ("machine control", Verdict.OK),
        ("machine gpu-0", Verdict.WARN),
    ]


def test_nodes_are_added_drained_and_removed(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--host", "9.0.0.7", "--gpu", "h100", "--gpu-count", "1", "--hourly-cost", "2.1", "--ram", "128")
    assert type_in("node", "add", "gpu-7", *words, "--host-key", HOST_KEY) == 0
    assert type_in("node", "add", "tee-1", *words[:-2], "--tee") == 1  # the address is taken
    assert "also the address of" in capsys.readouterr().err
    assert type_in("node", "remove", "gpu-7") == 1
    assert type_in("node", "drain", "gpu-7") == 0
    assert type_in("node", "list") == 0
    assert "drained" in capsys.readouterr().out
    assert type_in("node", "drain", "gpu-7", "--dead") == 0
    assert type_in("node", "remove", "gpu-7") == 0
    assert "gpu-7" not in path.read_text()


def test_doctor_prints_json_and_its_verdict(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text("config: {}\n")
    assert type_in("doctor", "--json") == 2
    assert json.loads(capsys.readouterr().out)["verdict"] == "fail"
    assert type_in("doctor") == 2
    assert "pulumi config set" in capsys.readouterr().out


def test_the_inventory_names_machines_by_role_and_holds_no_secret() -> None:
    spec = HostSpec(name="gpu-0", host="9.0.0.1", host_key=HOST_KEY, role=HostRole.GPU, private_key="marker")
    text = inventory_of([spec])
    names: dict[str, object] = {}
    exec(text, names)
    assert names["gpu"] == [("gpu-0", {"ssh_hostname": "9.0.0.1", "ssh_port": 22, "ssh_user": "root"})]
    assert "marker" not in text


def test_the_environment_lets_one_dead_node_stop_no_other_and_names_the_pack(tmp_path: Path) -> None:
    environment = engine_environment({"PULUMI_CONTINUE_ON_ERROR": "false", "HOME": "/h"}, tmp_path)
    assert environment["PULUMI_CONTINUE_ON_ERROR"] == "false"
    assert environment["PULUMI_OPTION_POLICY_PACK"] == str(tmp_path / "policies" / "pack")
    assert environment["HOME"] == "/h"


def test_every_secret_that_an_update_would_miss_is_missed_here_too(path: Path) -> None:
    document = YAML(typ="safe").load(path.read_text())
    document["config"]["headframe:kubernetes"]["registry_login"] = {"registry": "docker.io", "username": "me"}
    document["config"]["headframe:ssh_private_key"] = "in plain"
    with path.open("w") as file:
        YAML(typ="safe").dump(document, file)
    found = {check.name: check.seen for check in doctor.stack_settings(path)}
    assert "is missing" in found["secret registry_password"]
    assert "stored in plain" in found["secret ssh_private_key"]
    assert "in plain" not in found["secret ssh_private_key"].replace("stored in plain", "")

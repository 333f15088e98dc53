"""`headframe init` against a real engine and a real sshd: the file that it writes is the one that a preview takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from infra.cli.app import app
from infra.cli.init.probe import Machine, RealProbe
from tests.support.preview_stack import Stack
from tests.support.settings import HOTKEY, HOTKEY_SEED
from tests.support.specs import key_pair
from tests.support.sshd import LoopbackSshd

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackSshd]:
    with LoopbackSshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def test_init_looks_at_the_machine_and_writes_a_stack_with_its_key_encrypted(
    new_stack: Stack,
    sshd: LoopbackSshd,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    key = tmp_path / "key"
    key.write_text(key_pair("client")[0])
    hotkey = tmp_path / "hotkey"
    hotkey.write_text(json.dumps({"ss58Address": HOTKEY, "secretSeed": HOTKEY_SEED}))
    spec = sshd.spec()
    control = {
        "address": "9.0.0.10", "ssh_host": "127.0.0.1", "ssh_port": sshd.port, "ssh_user": spec.user, "host_key": "yes",
        "cores": 8, "ram_gib": 64,
    }  # fmt: skip
    answers = {
        "ssh_key": str(key), "hotkey": str(hotkey), "kubernetes": {"source": "file:///opt/k3s"}, "control": control,
        "gpu_runtime": {"digest": "0" * 64},
    }  # fmt: skip
    file = tmp_path / "answers.yaml"
    file.write_text(json.dumps(answers))
    for name, value in new_stack.engine.environment.items():
        monkeypatch.setenv(name, value)
    status = app(["init", "--answers", str(file)], exit_on_error=False, result_action="return_value")
    said = capsys.readouterr()
    assert status == 0, said.err
    assert "control: logged in" in said.out
    text = new_stack.file.read_text()
    loaded = YAML(typ="safe").load(text)
    assert loaded["config"]["headframe:control"]["ssh"]["host_key"] == spec.host_key
    assert set(loaded["config"]["headframe:ssh_private_key"]) == {"secure"}
    assert set(loaded["config"]["headframe:hotkey_seed"]) == {"secure"}
    assert "PRIVATE KEY" not in text
    told = new_stack.engine.quietly("config", "get", "ssh_private_key")
    assert told.strip() == key_pair("client")[0].strip()


def test_a_machine_that_refuses_the_key_is_told_with_its_reason(sshd: LoopbackSshd) -> None:
    seen = RealProbe().host_key("127.0.0.1", sshd.port)
    assert seen is not None
    assert seen == sshd.spec().host_key
    facts, problem = RealProbe().facts(
        Machine("control", "127.0.0.1", sshd.port, sshd.spec().user, seen, key_pair("stranger")[0])
    )
    assert facts is None
    assert "does not take SSH" in problem
    assert RealProbe().host_key("127.0.0.1", 9) is None

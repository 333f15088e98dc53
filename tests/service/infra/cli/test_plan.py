"""`headframe plan HOST` on a new stack of the real engine: one machine's operations; no other machine is looked at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.cli.app import app
from tests.support.preview_stack import Stack, local_fleet
from tests.support.settings import gpu_node
from tests.support.specs import key_pair
from tests.support.sshd import LoopbackSshd

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackSshd]:
    with LoopbackSshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def test_a_plan_lists_the_operations_of_one_machine(
    stack: Stack, sshd: LoopbackSshd, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = sshd.spec()
    ssh = {"host": "127.0.0.1", "port": sshd.port, "user": spec.user, "host_key": spec.host_key}
    away = gpu_node("gpu-1", "127.0.1.3", ssh={"host_key": spec.host_key, "port": 9, "connect_timeout_seconds": 2})
    stack.write(local_fleet(gpu_nodes=[gpu_node("gpu-0", "127.0.1.2", ssh=ssh), away]))
    stack.engine.quietly("config", "set", "--secret", "ssh_private_key", stdin=key_pair("client")[0])
    for name, value in stack.engine.environment.items():
        monkeypatch.setenv(name, value)
    assert app(["plan", "gpu-0"], exit_on_error=False, result_action="return_value") == 0
    shown = capfd.readouterr().out
    assert "~ k3s | service runs with these settings" in shown
    assert "gpu-0: " in shown
    assert "gpu-1" not in shown
    assert app(["plan", "gpu-1"], exit_on_error=False, result_action="return_value") == 1
    assert "gpu-1 does not take SSH" in capfd.readouterr().err
    assert app(["plan", "gpu-9"], exit_on_error=False, result_action="return_value") == 1
    assert "gpu-9" in capfd.readouterr().err

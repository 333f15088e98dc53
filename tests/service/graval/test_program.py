"""The bootstrap service as a process: what starts it, what does not, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from app.protocol.signing import Purpose, Signer
from lab.services.redis import free_port
from tests.support.graval_cuda import cuda_library

pytestmark = [pytest.mark.service, pytest.mark.timeout(1800)]  # the first time in a cache it compiles the library

MINER = Signer.from_seed("1c" * 32)
MODEL = {
    "name": "SIMULATED NVIDIA L4", "memory": 24 * 10**9, "processors": 58, "clock_rate": 2040000,
    "max_threads_per_processor": 1536,
}  # fmt: skip
LAB = {
    "MINER_HOTKEY_SS58": MINER.ss58,
    "VALIDATOR_WHITELIST": f"{MINER.ss58}, 5another",
    "GRAVAL_BACKEND": "simulated",
    "GRAVAL_SIMULATED_MODEL": json.dumps(MODEL),
    "NVIDIA_VISIBLE_DEVICES": "GPU-SIMULATED-1,GPU-SIMULATED-2",
}


@contextmanager
def program(environment: dict[str, str], *options: str) -> Iterator[subprocess.Popen[str]]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "COVERAGE_PROCESS_START")}
    process = subprocess.Popen(
        [sys.executable, "-m", "graval.service", *options],
        env=kept | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def refusal(environment: dict[str, str], *options: str) -> tuple[int, str]:
    with program(environment, *options) as process:
        output, _ = process.communicate(timeout=60)
        return process.returncode, output


def test_it_serves_simulated_devices_that_say_so_and_ends_at_sigterm() -> None:
    port = free_port()
    with program(LAB, "--port", str(port)) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert "SIMULATED" in said["message"]
        url = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                assert httpx.get(f"{url}/ping").text == "pong"
                break
            except httpx.TransportError:
                time.sleep(0.1)
        headers = MINER.management_headers(str(int(time.time())), purpose=Purpose.GRAVAL)
        devices = httpx.get(f"{url}/devices", headers=headers).json()["devices"]
        assert [device["name"] for device in devices] == ["SIMULATED NVIDIA L4"] * 2
        assert len({device["uuid"] for device in devices}) == 2
        process.send_signal(signal.SIGTERM)
        # uvicorn ends in order and then takes the signal again, for whoever watches the process
        assert process.wait(timeout=60) in (0, -signal.SIGTERM)


@pytest.mark.parametrize(
    ("changed", "code", "reason"),
    [
        ({"VALIDATOR_WHITELIST": ""}, 78, "VALIDATOR_WHITELIST"),
        ({"VALIDATOR_WHITELIST": None}, 78, "VALIDATOR_WHITELIST"),
        ({"MINER_HOTKEY_SS58": None}, 78, "MINER_HOTKEY_SS58"),
        ({"GRAVAL_SIMULATED_MODEL": json.dumps(MODEL | {"name": "NVIDIA L4"})}, 78, "GRAVAL_SIMULATED_MODEL"),
        ({"NVIDIA_VISIBLE_DEVICES": None}, 69, "NVIDIA_VISIBLE_DEVICES"),
        ({"GRAVAL_BACKEND": None}, 69, "GRAVAL_SIMULATED_MODEL is set"),
    ],
)
def test_it_does_not_start_and_names_what_is_wrong(changed: dict[str, str | None], code: int, reason: str) -> None:
    environment = {name: value for name, value in (LAB | changed).items() if value is not None}
    seen, output = refusal(environment)
    assert (seen, reason in output) == (code, True), output


def test_without_the_cuda_library_it_names_the_command_that_builds_it(tmp_path: Path) -> None:
    code, output = refusal(real_gpus(tmp_path / "libogv.so"))
    assert (code, "make cuda-library" in output) == (69, True), output


def test_with_the_library_and_without_a_driver_it_says_that_the_driver_is_absent() -> None:
    if Path("/proc/driver/nvidia/version").exists():
        pytest.skip("this machine has an NVIDIA driver")
    code, output = refusal(real_gpus(cuda_library()))
    assert (code, "the NVIDIA driver is absent or too old on this machine" in output) == (69, True), output


def real_gpus(library: Path) -> dict[str, str]:
    """As a bare node's bootstrap is started."""
    return {name: LAB[name] for name in ("MINER_HOTKEY_SS58", "VALIDATOR_WHITELIST")} | {"GRAVAL_LIBRARY": str(library)}

"""The lock on a machine, with its real shell script: kept by a holder that speaks, free soon after one fell silent."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gevent
import pytest

from infra.hosts import machine_lock
from infra.hosts.machine_lock import lock_script

WAIT_SECONDS = 20


def script(folder: Path, who: str, *, silence_seconds: float | None = None) -> list[str]:
    given = {} if silence_seconds is None else {"silence_seconds": silence_seconds}
    text = lock_script("gpu-0", WAIT_SECONDS, who, **given)
    return ["sh", "-c", text.replace("/run/", f"{folder}/")]


@contextmanager
def holder(folder: Path, *, silence_seconds: float | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A run that has the lock, and whose connection stands for as long as the block."""
    command = script(folder, "ada@elsewhere, process 7", silence_seconds=silence_seconds)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"held\n"
            yield child
        finally:
            child.kill()


def test_silence_of_the_holder_frees_the_lock_though_its_connection_stands(tmp_path: Path) -> None:
    with holder(tmp_path, silence_seconds=0.1) as silent:
        # Waits on the lock itself; were it kept, this would end after 20 s and without `held`.
        taken = subprocess.run(script(tmp_path, "me"), input=b"", capture_output=True, check=False)
        assert taken.stdout == b"held\n"
        assert silent.stdin is not None
        assert not silent.stdin.closed
        assert silent.wait(WAIT_SECONDS) == 0


def test_a_holder_whose_time_is_not_up_keeps_it(tmp_path: Path) -> None:
    with holder(tmp_path):
        other = [word.replace(f"-w {WAIT_SECONDS}", "-n") for word in script(tmp_path, "me")]
        refused = subprocess.run(other, input=b"", capture_output=True, check=False)
        assert (refused.returncode, refused.stdout) == (1, b"ada@elsewhere, process 7\n")


def test_a_machine_takes_its_holder_for_gone_after_two_minutes_of_silence() -> None:
    assert "read -r -t 120;" in lock_script("gpu-0", 60, "me")


class Channel:
    """Where a holder speaks; lost after some words."""

    def __init__(self, lost_after: int) -> None:
        self.words, self.lost_after = 0, lost_after

    def write(self, data: bytes) -> None:
        assert data == b"\n"
        if self.words == self.lost_after:
            raise OSError("the connection is lost")
        self.words += 1

    def flush(self) -> None:
        pass


def test_a_holder_speaks_six_times_in_what_counts_as_silence_and_ends_with_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    spoken: list[float] = []
    channel = Channel(lost_after=6)

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        spoken.append(now)

    monkeypatch.setattr(gevent, "sleep", sleep)
    machine_lock._beat(channel)  # type: ignore[arg-type]
    assert spoken[:6] == [20.0, 40.0, 60.0, 80.0, 100.0, 120.0]
    assert channel.words == 6

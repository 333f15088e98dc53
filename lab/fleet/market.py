"""The SIMULATED world outside the lab's fleet: validator and chain, processes of this machine on the fleet's bridge.

They go on after `make up` and end with `make down`; found by a mark in their environment, however the run before ended.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from infra.images.names import ImageName
from lab.fleet.hotkey import hotkey_address, hotkey_file
from lab.fleet.leftovers import end_marked, marked
from lab.fleet.stack import Generated

_MARK: Final = "HEADFRAME_LAB_MARKET"
_VALIDATOR_PORT: Final = 8090
_CHAIN_PORT: Final = 9944
_CHAIN_BLOCK_SECONDS: Final = 12.0
_START_SECONDS: Final = 60.0
_BUILD_SECONDS: Final = 3600.0
_POLL_SECONDS: Final = 0.1
_MARK_POLL_SECONDS: Final = 0.005
_STANDARD_FILES: Final = 2
_CLONE: Final = Path(__file__).resolve().parents[2]


class MarketError(RuntimeError):
    """A process did not come up; the text names its log."""


@dataclass(frozen=True)
class Market:
    """One clone's market.

    Args:
        state: the clone's state folder.
        address: of this machine as the fleet's hosts see it: the bridge.
    """

    state: Path
    address: str

    @property
    def validator_url(self) -> str:
        """Base address of the simulated validator: API, socket and registry."""
        return f"http://{self.address}:{_VALIDATOR_PORT}"

    @property
    def chain_url(self) -> str:
        """Address of the simulated chain."""
        return f"ws://{self.address}:{_CHAIN_PORT}"

    @property
    def validator_hotkey(self) -> str:
        """Address of the validator's throw-away key."""
        return hotkey_address(self.state, "validator")

    def describe(self) -> dict[str, object]:
        """The stack's keys that name this market."""
        url = self.validator_url
        entry = {"hotkey": self.validator_hotkey, "api": url, "socket": url, "registry": url}
        return {"validators": [entry], "tracker": {"network": self.chain_url}, "audit": {"subtensor": self.chain_url}}

    def start(self, chute_image: Path) -> None:
        """Start what does not run, and wait until it listens.

        Args:
            chute_image: archive of the stand-in chute, which the validator's registry serves for every chute's image.

        Raises:
            MarketError: one of them did not.
        """
        listen = ["--host", self.address, "--port"]
        proving = ["--key-file", str(hotkey_file(self.state, "validator")), "--stand-in-image", str(chute_image)]
        validator = ["lab.validator", *listen, str(_VALIDATOR_PORT), *proving]
        chain = ["lab.chain", *listen, str(_CHAIN_PORT), "--advance-seconds", str(_CHAIN_BLOCK_SECONDS)]
        for module, *arguments in (validator, chain):
            if not marked(self._mark(module)):
                self._spawn(module, arguments)
        for module, port in ((validator[0], _VALIDATOR_PORT), (chain[0], _CHAIN_PORT)):
            self._wait(module, port)
        # One that ran before keeps what it knows of the fleet, and serves the chute of today.
        url = f"{self.validator_url}/lab/stand-in-image"
        try:
            answer = httpx.post(url, json={"archive": str(chute_image)}, timeout=_START_SECONDS, trust_env=False)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise MarketError(
                f"the simulated validator, which runs since an earlier make up, does not take {chute_image}: {error}; "
                "make down ends it"
            ) from error

    def stop(self) -> int:
        """End both; how many ran."""
        return sum(end_marked(self._mark(module)) for module in ("lab.validator", "lab.chain"))

    def _mark(self, module: str) -> str:
        return f"{_MARK}={module}@{self.state}"

    def _log(self, module: str) -> Path:
        folder = self.state / "logs"
        folder.mkdir(exist_ok=True, mode=0o700)
        return folder / f"{module.rpartition('.')[2]}.log"

    def _spawn(self, module: str, arguments: list[str]) -> None:
        name, _, value = self._mark(module).partition("=")
        # It is to outlive this process, which therefore neither waits for it nor answers for it; nor may it keep
        # anything open that this process was given, such as the lock of whoever started it.
        given = [number for number in _open_files("self") if number > _STANDARD_FILES]
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", module, *arguments],
            os.environ | {name: value},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self._log(module)), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                *((os.POSIX_SPAWN_CLOSE, number) for number in given if _is_open(number)),
            ],
            setsid=True,
        )
        self._await_mark(module, pid)

    def _await_mark(self, module: str, pid: int) -> None:
        """Wait until the process shows its mark: the kernel lets us go on before it has put the environment in place,
        and until then a process that has just begun looks like one that has ended."""
        deadline = time.monotonic() + _START_SECONDS
        while not marked(self._mark(module)) and time.monotonic() < deadline:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return
            time.sleep(_MARK_POLL_SECONDS)

    def _wait(self, module: str, port: int) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not _listens(self.address, port):
            if time.monotonic() > deadline or not marked(self._mark(module)):
                raise MarketError(f"{module} does not listen on {self.address}:{port}; see {self._log(module)}")
            time.sleep(_POLL_SECONDS)


def chute_image() -> Path:
    """The archive of the stand-in chute, built where it is not there; the stack builds it from the same inputs.

    Raises:
        MarketError: it cannot be built.
    """
    command = [sys.executable, "-m", "infra.images"]
    reference = _output([*command, "tag", ImageName.LAB_CHUTE]).strip()
    return Path(json.loads(_output([*command, "build", ImageName.LAB_CHUTE, reference]))["archive"])


def _output(command: list[str]) -> str:
    done = subprocess.run(command, cwd=_CLONE, stdout=subprocess.PIPE, text=True, check=False, timeout=_BUILD_SECONDS)
    if done.returncode:
        raise MarketError(f"{' '.join(command[1:])} ended with {done.returncode}")
    return done.stdout


def with_market(generated: Generated, market: Market) -> Generated:
    """What the machines add, and what the market adds."""
    return Generated(
        host_keys=generated.host_keys,
        kubernetes_version=generated.kubernetes_version,
        kubernetes_source=generated.kubernetes_source,
        hotkey_ss58=generated.hotkey_ss58,
        market=market.describe(),
    )


def _open_files(process: str) -> list[int]:
    return [int(entry.name) for entry in Path(f"/proc/{process}/fd").iterdir()]


def _is_open(number: int) -> bool:
    """Whether it is still open: the listing itself had one that is closed by now."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _listens(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=1):
            return True
    except OSError:
        return False

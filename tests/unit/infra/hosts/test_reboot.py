"""A reboot is over when another boot answers, and is given up by the clock. The machine is a script here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import paramiko
import pytest
from pyinfra.api import Host, State
from pyinfra.api.exceptions import ConnectError

from infra.hosts import reboot
from infra.hosts.reboot import reboot_and_wait


class Machine:
    """One machine behind any number of connections: `away` tries fail after it was told to reboot, then it answers as
    another boot, unless `same_boot`."""

    def __init__(
        self, *, away: int = 2, same_boot: bool = False, holds: bool = False, obeys: bool = True, cut: bool = False
    ) -> None:
        self.away, self.same_boot, self.holds, self.obeys, self.cut = away, same_boot, holds, obeys, cut
        self.rebooted = False
        self.said: list[str] = []

    def answer(self, command: str) -> tuple[bool, str]:
        if "systemctl reboot" in command:
            self.rebooted = self.obeys
            return self.obeys, ""
        if self.rebooted and self.cut:
            self.cut = False
            raise paramiko.SSHException("SSH session not active")
        if "boot_id" in command:
            return True, "second" if self.rebooted and not self.same_boot else "first"
        return self.holds, ""

    def connect(self) -> None:
        if self.away > 0:
            self.away -= 1
            raise ConnectError("nobody there")


class Connection:
    """What pyinfra's connectors are here."""

    machine: Machine

    def __init__(self, state: State, host: Any) -> None:
        del state
        self.machine = host.machine

    def connect(self) -> None:
        self.machine.connect()


class Told:
    """The parts of pyinfra's Host that a reboot needs."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.connector = Connection(cast("State", None), self)
        self.first = self.connector

    def run_shell_command(self, command: object, **options: object) -> tuple[bool, SimpleNamespace]:
        del options
        status, text = self.machine.answer(str(command))
        return status, SimpleNamespace(stdout=text)

    def log_styled(self, message: str, **style: object) -> None:
        del style
        self.machine.said.append(message)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reboot, "_POLL_SECONDS", 0.001)


def rebooted(host: Told, deadline_seconds: float = 30.0, unless: str = "false") -> bool:
    return reboot_and_wait(cast("State", None), cast("Host", host), deadline_seconds, unless)


def test_it_waits_until_another_boot_answers_and_goes_on_over_the_new_connection() -> None:
    host = Told(Machine(away=3))
    assert rebooted(host)
    assert host.machine.away == 0
    assert host.connector is not host.first


def test_a_machine_that_only_answers_as_before_has_not_booted() -> None:
    host = Told(Machine(away=0, same_boot=True))
    assert not rebooted(host, 0.05)
    assert "did not come back within 0 s" in host.machine.said[0]


def test_a_machine_that_stays_away_is_given_up_by_the_clock() -> None:
    host = Told(Machine(away=1_000_000))
    assert not rebooted(host, 0.05)
    assert host.machine.rebooted


def test_nothing_is_done_where_there_is_no_need() -> None:
    host = Told(Machine(holds=True))
    assert rebooted(host, unless="true")
    assert not host.machine.rebooted


def test_a_session_that_ends_while_the_machine_goes_down_is_no_failure() -> None:
    assert rebooted(Told(Machine(away=0, cut=True)))


def test_a_machine_that_takes_no_order_is_told_of_at_once() -> None:
    host = Told(Machine(obeys=False))
    assert not rebooted(host, 3600)
    assert "takes no order" in host.machine.said[0]

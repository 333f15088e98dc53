"""No secret lies in plain in the state, in arguments, environments or logs."""

from __future__ import annotations

import base64
import stat
import time
from pathlib import Path

import pytest
import yaml

from lab.fleet.hotkey import hotkey_file, hotkey_seed
from tests.support.lab import HOST, Lab, processes_below

pytestmark = [pytest.mark.e2e, pytest.mark.host, pytest.mark.timeout(2700)]

PASSWORD = "headframe:index:Password"
FILE = "/var/snap/headframe/postgres/README"
SHORTEST = 12


def secrets_of(lab: Lab) -> set[str]:
    """Every secret of the lab, in each form in which it could leak."""
    found = {lab.fleet.private_key.read_text(), (lab.engine.state / "passphrase").read_text()}
    found.add(hotkey_seed(lab.engine.state).removeprefix("0x"))
    for resource in lab.state(show_secrets=True)["deployment"]["resources"]:
        if resource["type"] == PASSWORD:
            found.add(lab.plain(resource["outputs"]["value"]))
        if resource["type"] == HOST:
            users = yaml.safe_load(lab.plain(resource["outputs"]["kubeconfig"]))["users"]
            found |= {user["user"]["client-key-data"] for user in users}
    found |= {line for text in found for line in text.splitlines() if "PRIVATE KEY" not in line}
    found |= {base64.b64encode(text.encode()).decode() for text in set(found)}
    return {text.strip() for text in found if len(text.strip()) >= SHORTEST}


def leaks(secrets: set[str], text: str) -> int:
    """How many secrets are in a text. Never called within an assertion: a failing one would print its arguments."""
    return sum(secret in text for secret in secrets)


def test_the_scan_finds_what_it_looks_for(settled: Lab) -> None:
    secrets = secrets_of(settled)
    count = len(secrets)
    assert count > 3 * len(settled.fleet.hosts)
    found = leaks(secrets, settled.fleet.private_key.read_text())
    assert found > 0


def test_the_state_holds_no_secret_in_plain(settled: Lab) -> None:
    secrets = secrets_of(settled)
    files = [path for path in (settled.engine.state / "pulumi").rglob("*") if path.is_file()]
    assert any(path.name == "lab.json" for path in files)
    assert {str(path): count for path in files if (count := leaks(secrets, path.read_text(errors="replace")))} == {}
    in_stack_file = leaks(secrets, settled.engine.stack_file.read_text())
    assert in_stack_file == 0


def test_arguments_environments_and_logs_hold_no_secret(settled: Lab) -> None:
    secrets = secrets_of(settled)
    settled.fleet.ssh(settled.control, f"echo broken > {FILE}")
    arguments: set[str] = set()
    environments: set[str] = set()
    with settled.started("up", "--yes", "--skip-preview") as running:
        while running.process.poll() is None:
            for pid, command in processes_below(running.process.pid):
                arguments.add(command)
                if " -m " in command:  # the provider's launcher has the engine's configuration until it becomes Python
                    environments.add(environment_of(pid))
            time.sleep(0.05)
        done = running.finish()
    assert done.status == 0, done.output
    assert any("infra.hosts" in command for command in arguments)
    found = {
        "arguments": leaks(secrets, "\n".join(arguments)),
        "environments": leaks(secrets, "\n".join(environments)),
        "output": leaks(secrets, done.output),
        "events": leaks(secrets, "\n".join(str(event) for event in done.events)),
    }
    assert set(found.values()) == {0}, found


def test_logs_hold_no_secret(settled: Lab) -> None:
    secrets = secrets_of(settled)
    folders = (settled.engine.state / "logs", settled.engine.toolchain.home / "logs")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert files
    assert {str(path): count for path in files if (count := leaks(secrets, path.read_text(errors="replace")))} == {}
    for host in settled.fleet.hosts:
        in_journal = leaks(secrets, settled.fleet.ssh(host.name, "journalctl --no-pager -o cat", 120))
        assert in_journal == 0, host.name
        in_pods = leaks(secrets, settled.fleet.ssh(host.name, "cat /var/log/pods/*/*/*.log 2>/dev/null; true", 120))
        assert in_pods == 0, host.name


def test_files_with_secrets_are_their_owners_alone(settled: Lab) -> None:
    state = settled.engine.state
    files = (state / "passphrase", settled.fleet.private_key, hotkey_file(state), settled.engine.stack_file)
    assert [path.name for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def environment_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:  # it has ended
        return ""

"""No-op converge of booted lab hosts: the host runner against ansible-core, same tasks, same hosts, in one run; and how
long the preview of one of them takes.

usage: python -m tests.bench.hosts [HOSTS] [ROUNDS]     (needs root; uv fetches ansible-core beside)
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from infra.provider.children import Children
from infra.spec import BaseSpec, Event, FileSpec, HostSpec, KernelSpec, ResultEvent, ServiceSpec, Verb
from tests.support.lab_fleet import booted_fleet
from tests.support.lab_machine import Machine

_PACKAGES: Final = ("curl", "jq", "iproute2", "socat", "conntrack")
_FILES: Final = tuple(f"/etc/headframe-bench/{number}" for number in range(10))
_SYSCTL: Final = {"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.rp_filter": "2"}
_SERVICES: Final = ("cron", "ssh")
_ROUNDS: Final = 3
#: What Ansible needs on a host and the runner does not.
_FOR_ANSIBLE: Final = "apt-get -qq update && apt-get -y -qq install python3 python3-apt"


def spec_of(machine: Machine) -> HostSpec:
    base = BaseSpec(
        packages=_PACKAGES,
        files=tuple(FileSpec(path=path, content=f"content of {path}") for path in _FILES),
        services=tuple(ServiceSpec(name=name) for name in _SERVICES),
    )
    return machine.spec(base=base, kernel=KernelSpec(sysctl=_SYSCTL))


def playbook() -> list[dict[str, Any]]:
    """The same wishes in Ansible's words."""
    tasks: list[dict[str, Any]] = [{"ansible.builtin.apt": {"name": list(_PACKAGES), "state": "present"}}]
    tasks.append({"ansible.builtin.file": {"path": "/etc/headframe-bench", "state": "directory"}})
    tasks += [{"ansible.builtin.copy": {"dest": path, "content": f"content of {path}\n"}} for path in _FILES]
    lines = "".join(f"{key} = {value}\n" for key, value in sorted(_SYSCTL.items()))
    tasks.append({"ansible.builtin.copy": {"dest": "/etc/sysctl.d/90-headframe.conf", "content": lines}})
    for key, value in _SYSCTL.items():
        live = {"cmd": f"test $(sysctl -n {key}) = {value} || sysctl -w {key}={value}"}
        tasks.append({"ansible.builtin.shell": live, "changed_when": False})
    tasks += [
        {"ansible.builtin.systemd_service": {"name": name, "state": "started", "enabled": True}} for name in _SERVICES
    ]
    return [{"hosts": "all", "gather_facts": True, "tasks": tasks}]


async def ours(specs: list[HostSpec], verb: Verb = Verb.APPLY) -> float:
    """Seconds for all hosts; says how many changes they reported, which after the first round must be none."""
    children = Children(at_once=4 * (os.cpu_count() or 1))
    began = time.monotonic()
    changed: list[str] = []

    async def take(event: Event) -> None:
        if isinstance(event, ResultEvent):
            changed.extend(event.changed)

    async with asyncio.TaskGroup() as group:
        runs = [group.create_task(children.run(verb, spec, take, 600)) for spec in specs]
    assert all(run.result().status == 0 for run in runs), [run.result() for run in runs]
    seconds = time.monotonic() - began
    print(f"  headframe: {verb} {seconds:.2f} s, {len(changed)} changes")
    return seconds


def theirs(command: list[str], folder: Path) -> float:
    """Seconds for all hosts with ansible-playbook, pipelining on and as many forks as hosts."""
    began = time.monotonic()
    environment = {**os.environ, "ANSIBLE_CONFIG": str(folder / "ansible.cfg")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    print(f"  ansible:   {seconds:.1f} s")
    return seconds


def prepare_ansible(folder: Path, machines: tuple[Machine, ...]) -> list[str]:
    """Files and command of the peer."""
    fleet = machines[0].fleet
    lines = "\n".join(f"{machine.name} ansible_host={machine.address}" for machine in machines)
    (folder / "inventory").write_text(
        f"{lines}\n[all:vars]\nansible_user=root\nansible_python_interpreter=/usr/bin/python3\n"
    )
    (folder / "play.yml").write_text(json.dumps(playbook()))
    (folder / "ansible.cfg").write_text(
        f"[defaults]\ninventory=inventory\nforks={len(machines)}\nprivate_key_file={fleet.private_key}\n"
        f"[ssh_connection]\npipelining=True\nssh_args=-o UserKnownHostsFile={fleet.known_hosts} -o ControlMaster=auto "
        "-o ControlPersist=60s\n"
    )
    uv = shutil.which("uv") or str(
        Path(os.environ.get("HEADFRAME_CACHE", Path.home() / ".cache/headframe")) / "uv/bin/uv"
    )
    return [uv, "tool", "run", "--from", "ansible-core", "ansible-playbook", "play.yml"]


def main() -> None:
    count, rounds = (*map(int, sys.argv[1:]), *(10, _ROUNDS)[len(sys.argv) - 1 :])
    names = tuple(f"bench-{number}" for number in range(count))
    with tempfile.TemporaryDirectory() as folder, booted_fleet(Path(folder), names) as fleet:
        machines = Machine.all_of(fleet)
        command = prepare_ansible(Path(folder), machines)
        with ThreadPoolExecutor(max_workers=count) as pool:
            list(pool.map(lambda machine: fleet.ssh(machine.name, _FOR_ANSIBLE, 600), machines))
        specs = [spec_of(machine) for machine in machines]
        print("first round, untimed:")
        asyncio.run(ours(specs))
        theirs(command, Path(folder))
        print(f"no-op converge of {count} hosts, {len(playbook()[0]['tasks'])} tasks, load {os.getloadavg()[0]:.1f}:")
        pairs = [(asyncio.run(ours(specs)), theirs(command, Path(folder))) for _ in range(rounds)]
        print(f"preview of one host, load {os.getloadavg()[0]:.1f}:")
        preview = min(asyncio.run(ours(specs[:1], Verb.PLAN)) for _ in range(rounds))
    best_ours, best_theirs = min(one for one, _ in pairs), min(two for _, two in pairs)
    print(f"best of {rounds}: ansible {best_theirs:.1f} s, headframe {best_ours:.1f} s")
    print(f"ratio ansible : headframe = {best_theirs / best_ours:.1f} (aim 4, then 8)")
    print(f"preview of one host: {preview:.2f} s (aim 1.0)")


if __name__ == "__main__":
    main()

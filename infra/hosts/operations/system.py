"""Name, kernel modules, kernel settings and swap of a machine."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from pyinfra import host
from pyinfra.api import StringCommand, operation

from infra.hosts.facts.shell import Holds, Printed
from infra.hosts.operations.commands import Commands


@operation()
def hostname(wanted: str) -> Commands:
    """The machine has this name now and after a reboot, and can resolve it."""
    seen = host.get_fact(
        Printed,
        "cat /proc/sys/kernel/hostname; cat /etc/hostname 2>/dev/null || echo none; "
        f"grep -qE '^[0-9a-f.:]+[[:space:]].*\\b{wanted}\\b' /etc/hosts && echo known",
    )
    if seen == [wanted, wanted, "known"]:
        host.noop(f"the name is {wanted}")
        return
    yield StringCommand(f"echo {wanted} > /etc/hostname && hostname {wanted}")
    yield StringCommand(
        f"sed -i '/^127\\.0\\.1\\.1[[:space:]]/d' /etc/hosts && printf '127.0.1.1\\t{wanted}\\n' >> /etc/hosts"
    )


@operation()
def modules_loaded(names: Sequence[str]) -> Commands:
    """The modules are in the kernel, loaded or built in."""
    missing = _lines_of_missing(
        names,
        '[ -d "/sys/module/$name" ] || grep -q "/$name\\.ko" "/lib/modules/$(uname -r)/modules.builtin" 2>/dev/null || '
        # Built into a kernel that brings no list of what it has: a file system, or the bridge filter's own settings.
        'grep -qw "$name" /proc/filesystems || { [ "$name" = br_netfilter ] && [ -d /proc/sys/net/bridge ]; }',
    )
    if not missing:
        host.noop("all modules are in the kernel")
        return
    for name in missing:
        yield StringCommand(
            f"modprobe {name} || {{ echo 'no module {name}: install a kernel that has it' >&2; exit 1; }}"
        )


@operation()
def sysctl_live(settings: Mapping[str, str], file: str) -> Commands:
    """The kernel runs with these settings now; the file keeps them over a reboot."""
    names = " ".join(sorted(settings))
    values = host.get_fact(
        Printed, f"for name in {names}; do sysctl -n \"$name\" 2>/dev/null | tr '\\t' ' ' || echo; done"
    )
    wanted = [settings[name] for name in sorted(settings)]
    if values == wanted:
        host.noop("the kernel has these settings")
        return
    yield StringCommand(f"sysctl -q -p {file}")


@operation()
def swap_off() -> Commands:
    """No swap is used, by no entry of fstab and by no generated unit."""
    active = '[ "$(wc -l < /proc/swaps)" -gt 1 ]'
    declared = "grep -qE '^[^#].*[[:space:]]swap[[:space:]]' /etc/fstab 2>/dev/null"
    masked = '[ "$(systemctl is-enabled swap.target 2>/dev/null)" = masked ]'
    if not host.get_fact(Holds, f"{active} || {declared} || ! {masked}"):
        host.noop("swap is off")
        return
    yield StringCommand(f"if {active}; then swapoff -a; fi")
    yield StringCommand(
        "[ ! -e /etc/fstab ] || sed -i -E 's/^([^#].*[[:space:]]swap[[:space:]].*)$/# headframe: \\1/' /etc/fstab"
    )
    yield StringCommand("systemctl mask swap.target")


def _lines_of_missing(names: Sequence[str], condition: str) -> list[str]:
    quoted = " ".join(shlex.quote(name) for name in names)
    missing: list[str] = host.get_fact(Printed, f'for name in {quoted}; do {{ {condition}; }} || echo "$name"; done')
    return missing

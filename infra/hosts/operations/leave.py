"""Operations for a machine that leaves the fleet."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final

from pyinfra import host
from pyinfra.api import StringCommand, operation

from infra.hosts.facts.shell import Holds
from infra.hosts.operations.commands import Commands

#: Process ids of pod shims and of everything in their cgroups that k3s leaves running when its service stops.
_SHIMS: Final = (
    "ps -e -o pid= -o args= | awk '/containerd-shim/ && /k3s\\/containerd|namespace k8s.io/ && !/awk/ {print $1}'"
)
_CHILDREN: Final = f"for p in $({_SHIMS}); do echo $p; pgrep -P $p; done"


@operation()
def pods_ended() -> Commands:
    """No pod of k3s runs any more. The service is stopped with KillMode=process, which leaves them running."""
    if not host.get_fact(Holds, f'[ -n "$({_SHIMS})" ]'):
        host.noop("no pod runs")
        return
    yield StringCommand(
        f"pids=$({_CHILDREN}); kill -TERM $pids 2>/dev/null; sleep 2; kill -KILL $pids 2>/dev/null; "
        f'for i in $(seq 20); do [ -z "$({_SHIMS})" ] && exit 0; sleep 0.5; done; echo "pods still run" >&2; exit 1'
    )


@operation()
def removed(roots: Sequence[str], files: Sequence[str]) -> Commands:
    """The trees and files are gone.

    What is mounted below a tree is unmounted first, so that nothing foreign is deleted; a tree that is itself a
    mount point is emptied and stays.
    """
    everything = " ".join(shlex.quote(path) for path in (*roots, *files))
    remains = (
        f'for p in {everything}; do if mountpoint -q "$p"; then ls -A "$p"; '
        'elif [ -e "$p" ] || [ -L "$p" ]; then echo "$p"; fi; done'
    )
    if not host.get_fact(Holds, f'[ -n "$({remains})" ]'):
        host.noop("nothing is left")
        return
    for root in roots:
        quoted = shlex.quote(root)
        below = f"awk -v r={quoted} 'index($2, r \"/\") == 1 {{print $2}}' /proc/mounts | sort -r"
        yield StringCommand(f'{below} | while read -r m; do umount "$m" || umount -l "$m"; done')
        yield StringCommand(
            f"if mountpoint -q {quoted}; then find {quoted} -xdev -mindepth 1 -delete; "
            f"else rm -rf --one-file-system {quoted}; fi"
        )
    yield StringCommand(f"rm -f {' '.join(map(shlex.quote, files))}")
    yield StringCommand("systemctl daemon-reload")

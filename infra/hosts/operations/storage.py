"""A folder of the large disk appears at another path; what was there before moves with it, checked byte for byte."""

from __future__ import annotations

import shlex

from pyinfra import host
from pyinfra.api import StringCommand, operation

from infra.hosts.facts.shell import Holds
from infra.hosts.operations.commands import Commands
from infra.hosts.paths import STATE


@operation()
def bind_mount(source: str, target: str, minimum_free_gib: int) -> Commands:
    """`target` is `source`, now and after every boot.

    A run may die at any point: data is at `target` until the copy was compared, then aside as `target.before-headframe`
    until the mount stands. What is aside goes only where `source` is seen to be its copy. Refused while a process has
    files open at `target`, while both hold data that differs, where the disk would be left with less than
    `minimum_free_gib`, and where the disk on which the source lay is not mounted: programs would begin anew on an empty
    folder.
    """
    if host.get_fact(Holds, _is_settled(source, target)):
        host.noop(f"{target} is {source}")
        return
    yield StringCommand(move_script(source, target, minimum_free_gib))
    unit = mount_unit_name(target)
    yield StringCommand(f"cat > '/etc/systemd/system/{unit}'", _stdin=mount_unit(source, target))
    yield StringCommand(f"systemctl daemon-reload && systemctl enable -q '{unit}' && systemctl start '{unit}'")
    yield StringCommand(
        f"{_is_mounted(source, target)} || {{ echo '{target} is not {source} after mounting' >&2; exit 1; }}; "
        f"rm -rf --one-file-system {shlex.quote(aside(target))}; rm -f {_marker(target)}; "
        f"findmnt -n -o TARGET -T {shlex.quote(source)} | tail -n 1 > {_stood(target)}"
    )


def aside(target: str) -> str:
    """Where the original waits until the mount stands."""
    return f"{target}.before-headframe"


def mount_unit_name(target: str) -> str:
    """systemd's name for the mount of a path (as `systemd-escape --path` makes it)."""
    escaped = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in ":_.") else f"\\x{ord(letter):02x}"
        for letter in target.strip("/").replace("/", "\0")
    )
    return f"{escaped.replace(chr(92) + 'x00', '-')}.mount"


def mount_unit(source: str, target: str) -> str:
    """The unit that mounts at boot, before k3s and after the disk of the source."""
    return f"""\
[Unit]
Description=headframe: {source} at {target}
RequiresMountsFor={source}
Before=k3s.service
[Mount]
What={source}
Where={target}
Type=none
Options=bind
[Install]
WantedBy=local-fs.target
"""


def move_script(source: str, target: str, minimum_free_gib: int) -> str:
    """Moves what is at `target` to `source`, in steps each of which can be run again."""
    names = f"s={shlex.quote(source)} t={shlex.quote(target)} a={shlex.quote(aside(target))} m={_marker(target)}"
    stood = _stood(target)
    return f"""\
set -eu; {names}
fail() {{ echo "$1" >&2; exit 1; }}
at=$s; while [ ! -e "$at" ]; do at=$(dirname "$at"); done; at=$(findmnt -n -o TARGET -T "$at" | tail -n 1)
[ ! -s {stood} ] || [ "$(cat {stood})" = "$at" ] || \
fail "$s lay on the disk at $(cat {stood}), which is not mounted: mount it, run again (if it moved, first rm {stood})"
mkdir -p "$s" "$t" {STATE}/storage
if [ -e "$a" ]; then  # a run died before it removed this: the copy may lie on a disk that is not mounted now
  diff -rq --no-dereference "$a" "$s" >&2 || \
fail "$a is what was at $t, and $s is not its copy: is the disk of $s mounted? compare them, remove $a, run again"
fi
if {_is_mounted(source, target)}; then exit 0; fi
mountpoint -q "$t" && fail "$t is a mount point already: unmount it, then run again"
used=$(find /proc/[0-9]*/fd /proc/[0-9]*/cwd -lname "$t/*" 2>/dev/null | cut -d/ -f3 | sort -u | head -n 5 | xargs)
[ -z "$used" ] || fail "processes $used have files open in $t: stop them (headframe drain), then run again"
grep -q " $t/" /proc/[0-9]*/mountinfo 2>/dev/null && fail "containers have $t mounted: stop them (headframe drain)"
if [ ! -e "$a" ] && [ -n "$(ls -A "$t")" ]; then
  [ -z "$(ls -A "$s")" ] || [ -e "$m" ] || fail "$s and $t both hold data: empty the one that is not wanted"
  need=$(du -sk "$t" | cut -f1); have=$(df -Pk "$s" | awk 'NR==2{{print $4}}')
  left=$(( (have - need) / 1048576 ))
  [ "$have" -ge "$need" ] && [ "$left" -ge {minimum_free_gib} ] || \
fail "$s would have $left GiB free after the move, wanted {minimum_free_gib}: use a larger disk"
  touch "$m"; cp -a "$t/." "$s/"; sync
  diff -rq --no-dereference "$t" "$s" >&2 || fail "the copy in $s differs from $t: nothing was removed"
  mv -T "$t" "$a"; mkdir -p "$t"
  chown --reference="$a" "$t"; chmod --reference="$a" "$t"
elif [ ! -e "$a" ]; then
  have=$(df -Pk "$s" | awk 'NR==2{{print int($4/1048576)}}')
  [ "$have" -ge {minimum_free_gib} ] || fail "$s has $have GiB free, wanted {minimum_free_gib}: use a larger disk"
fi"""


def _marker(target: str) -> str:
    """There while data is being moved."""
    return f"{_name(target)}.moving"


def _stood(target: str) -> str:
    """There once the mount stood for the first time: where the disk of the source is mounted."""
    return f"{_name(target)}.stood"


def _name(target: str) -> str:
    return f"{STATE}/storage/{target.strip('/').replace('/', '-')}"


def _is_mounted(source: str, target: str) -> str:
    paths = f"{shlex.quote(source)} {shlex.quote(target)}"
    return f'[ "$(stat -c %d:%i {paths} 2>/dev/null | uniq | wc -l)" = 1 ] && mountpoint -q {shlex.quote(target)}'


def _is_settled(source: str, target: str) -> str:
    unit = f"/etc/systemd/system/{mount_unit_name(target)}"
    return (
        f"{_is_mounted(source, target)} && grep -qxF {shlex.quote(f'What={source}')} '{unit}' 2>/dev/null && "
        f"systemctl is-enabled -q '{mount_unit_name(target)}' && "
        f"[ ! -e {shlex.quote(aside(target))} ] && [ -s {_stood(target)} ]"
    )

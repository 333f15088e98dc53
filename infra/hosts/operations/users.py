"""Accounts of administrators and exactly the keys that open them."""

from __future__ import annotations

from collections.abc import Sequence

from pyinfra import host
from pyinfra.api import StringCommand, operation

from infra.hosts.facts.shell import Holds, Printed
from infra.hosts.operations.commands import Commands


@operation()
def present(account: str) -> Commands:
    """The account exists, with a home and a login shell, and is not locked out of keys."""
    if host.get_fact(Holds, f'[ "$(stat -c %U "$(getent passwd {account} | cut -d: -f6)" 2>/dev/null)" = {account} ]'):
        host.noop(f"{account} exists")
        return
    yield StringCommand(f"getent passwd {account} >/dev/null || useradd --create-home --shell /bin/bash {account}")
    # The home of an account that left before and comes back belongs to root.
    yield StringCommand(
        f'home=$(getent passwd {account} | cut -d: -f6) && mkdir -p "$home" && chown -R {account}: "$home"'
    )


@operation()
def absent(account: str) -> Commands:
    """The account is gone and its sessions are ended; its home stays, readable by root alone."""
    if not host.get_fact(Holds, f"getent passwd {account} >/dev/null"):
        host.noop(f"there is no {account}")
        return
    yield StringCommand(f'home=$(getent passwd {account} | cut -d: -f6); rm -f "$home/.ssh/authorized_keys"')
    yield StringCommand(f"pkill -KILL -u {account} || true")
    yield StringCommand(
        f"home=$(getent passwd {account} | cut -d: -f6); userdel {account} && "
        '{ [ ! -d "$home" ] || { chown -R root:root "$home" && chmod 700 "$home"; }; }'
    )


@operation()
def authorized_keys(account: str, keys: Sequence[str]) -> Commands:
    """These keys open the account and no other does: a key that is taken from the list is revoked."""
    home = f"$(getent passwd {account} | cut -d: -f6)"
    seen = host.get_fact(Printed, f'f={home}/.ssh/authorized_keys; [ -f "$f" ] && stat -c \'%a %U\' "$f" && cat "$f"')
    if seen == [f"600 {account}", *keys] or (not keys and not seen):
        host.noop(f"the keys of {account} are as wanted")
        return
    text = "".join(f"{key}\n" for key in keys)
    yield StringCommand(
        f'h={home} && install -d -m 700 -o {account} -g $(id -g {account}) "$h/.ssh" && '
        f't=$(mktemp "$h/.ssh/keys.XXXXXX") && cat > "$t" && chown {account}:$(id -g {account}) "$t" && '
        'chmod 600 "$t" && '
        'mv -fT "$t" "$h/.ssh/authorized_keys"',
        _stdin=text or "\n",
    )

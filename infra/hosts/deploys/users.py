"""Who may log in (spec: infra 4.1.3). Keys that are not listed are revoked; upstream only ever adds."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from infra.hosts.operations import files
from infra.hosts.operations import users as operations
from infra.hosts.ssh import public_key
from infra.spec import HostSpec, UserSpec


@deploy("users")
def users(spec: HostSpec) -> None:
    """The declared accounts, their keys and their rights."""
    for user in spec.users:
        sudoers = f"/etc/sudoers.d/headframe-{user.name}"
        if not user.present:
            files.absent(name=f"no sudo for {user.name}", path=sudoers)
            operations.absent(name=f"no account {user.name}", account=user.name)
            continue
        operations.present(name=f"account {user.name}", account=user.name)
        operations.authorized_keys(name=f"keys of {user.name}", account=user.name, keys=_keys(spec, user))
        if user.sudo:
            rule = f"{user.name} ALL=(ALL) NOPASSWD:ALL\n"
            files.content(name=f"sudo for {user.name}", path=sudoers, text=rule, mode="440")
        else:
            files.absent(name=f"no sudo for {user.name}", path=sudoers)


def _keys(spec: HostSpec, user: UserSpec) -> tuple[str, ...]:
    """The listed keys; for the account that the runner logs in with also its own, or the first run were the last."""
    if user.name != spec.user:
        return user.authorized_keys
    own = public_key(spec)
    listed = {" ".join(key.split()[:2]) for key in user.authorized_keys}
    return user.authorized_keys if own in listed else (*user.authorized_keys, f"{own} headframe")

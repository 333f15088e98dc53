"""Who may log in (spec: infra 4.1.3)."""

from __future__ import annotations

from infra.spec.model import AccountName, Model, PublicKey


class UserSpec(Model):
    """An administrator of the machine. Keys that are not listed are revoked; with `present=False` the account goes."""

    name: AccountName
    authorized_keys: tuple[PublicKey, ...] = ()
    sudo: bool = False
    present: bool = True

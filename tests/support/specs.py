"""Specs of machines for tests. Keys are made at run time; none is in the repository."""

from __future__ import annotations

from functools import cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from infra.spec import HostRole, HostSpec


@cache
def key_pair(name: str = "host") -> tuple[str, str]:
    """A throw-away ed25519 pair of that name: OpenSSH private key, public key line."""
    del name
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return private, key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def host_spec(**changes: object) -> HostSpec:
    """A valid spec; `changes` are fields by their Python names."""
    fields: dict[str, object] = {
        "name": "gpu-0",
        "host": "203.0.113.7",
        "host_key": key_pair()[1],
        "role": HostRole.GPU,
        "private_key": key_pair()[0],
        "manage_hostname": False,
        **changes,
    }
    return HostSpec.model_validate(fields)

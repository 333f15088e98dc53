"""The secret keys of a stack: flat, top-level, and only ever an `Output` in the program (spec: iac-design 2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import pulumi

SSH_PRIVATE_KEY: Final = "ssh_private_key"
REGISTRY_PASSWORD: Final = "registry_password"  # noqa: S105 the key's name
BACKUP_PRIVATE_KEY: Final = "backup_private_key"
HOTKEY_SEED: Final = "hotkey_seed"
GRAFANA_PASSWORD: Final = "grafana_password"  # noqa: S105 the key's name

#: Every secret key with what it is and the command that sets it. None of them may be a part of another key.
SECRET_KEYS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        SSH_PRIVATE_KEY: (
            "OpenSSH private key for all machines",
            "pulumi config set --secret ssh_private_key < ~/.ssh/id_ed25519",
        ),
        BACKUP_PRIVATE_KEY: (
            "OpenSSH private key for the machine that backup names",
            "pulumi config set --secret backup_private_key < ~/.ssh/backup_ed25519",
        ),
        HOTKEY_SEED: (
            "seed of the miner's hotkey, or its wallet's hotkey file",
            "pulumi config set --secret hotkey_seed < ~/.bittensor/wallets/NAME/hotkeys/HOTKEY",
        ),
        GRAFANA_PASSWORD: (
            "password of Grafana's administrator, which monitoring.grafana needs",
            "pulumi config set --secret grafana_password",
        ),
        REGISTRY_PASSWORD: ("password of kubernetes.registry_login", "pulumi config set --secret registry_password"),
    }
)


@dataclass(frozen=True, kw_only=True)
class FleetSecrets:
    """Secrets of one stack. None where the stack does not need one."""

    ssh_private_key: pulumi.Output[str]
    hotkey_seed: pulumi.Output[str]
    registry_password: pulumi.Output[str] | None = None
    backup_private_key: pulumi.Output[str] | None = None
    grafana_password: pulumi.Output[str] | None = None

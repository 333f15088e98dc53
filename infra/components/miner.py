"""Who mines and for whom: what every program of the fleet is told, and the Secret with the hotkey's seed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_kubernetes as kubernetes

from app.protocol.labels import CHUTES_NAMESPACE
from app.protocol.signing import Signer
from app.protocol.validators import ValidatorEntry
from infra.components.options import on_cluster
from infra.components.place import Place
from infra.components.pod import SecretKey
from infra.settings.secrets import FleetSecrets
from infra.settings.tree import FleetSettings

#: Name and keys that public programs know.
CREDENTIALS: Final = "miner-credentials"


@dataclass(frozen=True, kw_only=True)
class Miner:
    """The hotkey and the validators. `seed` is a secret output that was checked against the address."""

    ss58: str
    netuid: int
    seed: pulumi.Output[str]
    validators: tuple[ValidatorEntry, ...]

    @classmethod
    def of(cls, settings: FleetSettings, secrets: FleetSecrets) -> Miner:
        """The miner of a stack."""
        address = settings.miner.hotkey_ss58
        return cls(
            ss58=address,
            netuid=settings.miner.netuid,
            seed=pulumi.Output.secret(secrets.hotkey_seed.apply(lambda seed: checked_seed(seed, address))),
            validators=tuple(ValidatorEntry.model_validate(entry.model_dump()) for entry in settings.validators),
        )

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables without a secret, by their public names (spec: protocol 13.1)."""
        supported = [entry.model_dump(mode="json", exclude_none=True) for entry in self.validators]
        return {"MINER_SS58": self.ss58, "VALIDATORS": json.dumps({"supported": supported}, sort_keys=True)}

    @property
    def secrets(self) -> Mapping[str, SecretKey]:
        """Variables that come from the Secret."""
        return {"MINER_SEED": SecretKey(secret=CREDENTIALS, key="seed")}

    @property
    def config(self) -> Mapping[str, str]:
        """What restarts a program when another hotkey takes over."""
        return {"hotkey": self.ss58}


def checked_seed(seed: str, ss58: str) -> str:
    """The seed, from itself or from the content of a wallet's hotkey file.

    Raises:
        pulumi.RunError: it is no seed, or another hotkey's; the message does not show it.
    """
    digits = _of_file(seed) if seed.lstrip().startswith("{") else seed.strip()
    try:
        found = Signer.from_seed(digits).ss58
    except ValueError as error:
        raise pulumi.RunError(f"hotkey_seed: {error}") from None
    if found != ss58:
        raise pulumi.RunError(
            f"hotkey_seed belongs to {found}, miner.hotkey_ss58 says {ss58}: "
            "pulumi config set --secret hotkey_seed < the file of that hotkey"
        )
    return digits


def _of_file(text: str) -> str:
    try:
        return str(json.loads(text)["secretSeed"])
    except (ValueError, KeyError, TypeError):
        raise pulumi.RunError("hotkey_seed: this is no hotkey file with a secretSeed; is it encrypted?") from None


def credentials(name: str, miner: Miner, place: Place, parent: pulumi.Resource) -> kubernetes.core.v1.Secret:
    """The Secret on one cluster."""
    return kubernetes.core.v1.Secret(
        name,
        metadata={"name": CREDENTIALS, "namespace": CHUTES_NAMESPACE},
        string_data={"ss58": miner.ss58, "seed": miner.seed},
        opts=on_cluster(parent, place.cluster.provider, place.host, depends_on=[place.cluster.namespace]),
    )

"""Settings of the miner API, by the public variable names (spec: protocol 13) and a few of our own."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from typing import Final

import orjson
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.protocol.signing import Signer
from app.protocol.validators import Validators
from app.storage.sealing import Vault

#: Signatures of management routes may be this far from our clock, both ways.
WINDOW_SECONDS: Final = 30


class SignatureStage(StrEnum):
    """How far management routes insist on signature version 2; both versions are read in every stage but the last."""

    OFF = "off"
    OBSERVE = "observe"  # version 1 is counted and logged
    PREFER = "prefer"  # and the answer asks the client to move to version 2
    REQUIRE = "require"  # version 1 is refused


class Settings(BaseSettings):
    """Everything the API is told. Secrets show in neither repr nor logs."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True)

    miner_ss58: str = Field(min_length=1)
    miner_seed: SecretStr
    validators: Validators
    postgresql: SecretStr = SecretStr("postgresql+asyncpg://user:password@127.0.0.1:5432/chutes")
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    monitor_api: str | None = None
    signature_stage: SignatureStage = SignatureStage.OFF
    #: Hand out the merged kubeconfig; off where operators reach clusters another way.
    kubeconfig_enabled: bool = True
    #: Store kubeconfigs sealed. Off only where public programs read the same database.
    kubeconfig_sealed: bool = True
    #: Namespace of this cluster with a Secret for each bare node, its kubeconfig in it (DESIGN D17).
    node_kubeconfigs_namespace: str | None = None
    control_node_name: str | None = None
    control_external_ip: str | None = None
    service_account_token_path: str = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - a path
    service_account_ca_path: str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
    #: Image of GraVal's bootstrap service; without one bare nodes cannot be added.
    graval_bootstrap_image: str | None = None
    graval_bootstrap_timeout: float = Field(600, gt=0, le=900)
    #: Runtime class of its pod; empty takes the cluster's default.
    nvidia_runtime: str = "nvidia"
    #: Admit nodes whose GPUs are simulated: labs only.
    graval_simulated: bool = False
    #: Addresses whose X-Forwarded-For is believed; nobody's by default.
    trusted_proxies: frozenset[str] = frozenset()
    purge_includes_jobs: bool = False
    leader_enabled: bool = True

    @field_validator("validators", mode="before")
    @classmethod
    def _from_json(cls, value: object) -> object:
        return orjson.loads(value) if isinstance(value, str | bytes) else value

    @cached_property
    def vault(self) -> Vault:
        """Opens stored kubeconfigs, and seals them."""
        return Vault.of_seed(self.miner_seed.get_secret_value(), accepts_plain=not self.kubeconfig_sealed)

    @cached_property
    def signer(self) -> Signer:
        """The miner's hotkey.

        Raises:
            ValueError: the seed is not the one of `miner_ss58`.
        """
        signer = Signer.from_seed(self.miner_seed.get_secret_value())
        if signer.ss58 != self.miner_ss58:
            raise ValueError(
                f"MINER_SEED belongs to {signer.ss58}, MINER_SS58 says {self.miner_ss58}: use one key's two"
            )
        return signer
